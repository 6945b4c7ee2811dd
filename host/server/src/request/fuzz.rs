//! What a stranger sends, before anybody knows who it is.

mod body;
mod headers;
mod path;
