//! Key/value secrets, version 1 and 2.
