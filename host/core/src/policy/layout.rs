//! Lays an HCL 1 text out as HCL 2 wants it, so that one parser reads both.
//!
//! In HCL 1 line ends mean nothing, commas between items are optional, keys may stand in quotes, `key = {` is `key {`, and
//! `${` and `%{` are what they look like. HCL 2 wants one item on a line, and tells blocks, which may hold blocks, from
//! objects, whose keys may be any text. So each item gets a line of its own, comments and commas go, a brace gets or loses
//! its `=`, and templates are escaped. Tokens are told apart and brackets matched for that, no more: what is malformed
//! stays malformed, for the parser to refuse.

use std::borrow::Cow;
use std::mem;

/// A text for the parser, which knows where each part of it came from.
pub(super) struct Layout<'t> {
    text: Cow<'t, str>,
    /// Offsets in `text`, ascending, each with the offset in the original of the token that begins there.
    origins: Vec<(usize, usize)>,
}

impl<'t> Layout<'t> {
    pub(super) fn as_is(original: &'t str) -> Self {
        Self {
            text: Cow::Borrowed(original),
            origins: Vec::new(),
        }
    }

    pub(super) fn of(original: &'t str) -> Self {
        let mut text = String::new();
        let mut origins = Vec::new();
        let mut in_object = false;
        let mut around = Vec::new();
        for token in tokens(original) {
            if (token.role == Role::Key || token.text == "}") && !text.ends_with('\n') {
                text.push('\n');
            }
            let word = word_in_quotes(token.text).filter(|_| token.role == Role::Key && !in_object);
            if token.text == "{" {
                around.push(in_object);
                in_object |= token.role != Role::Block;
                if in_object && token.role != Role::Other {
                    text.push_str("= ");
                }
            } else if token.text == "}" {
                in_object = around.pop().unwrap_or_default();
            }
            origins.push((text.len(), token.offset));
            text.push_str(&escape_templates(word.unwrap_or(token.text)));
            // The line that ends a heredoc holds nothing else.
            let is_heredoc = token.text.starts_with("<<");
            text.push(if is_heredoc { '\n' } else { ' ' });
        }
        Self {
            text: Cow::Owned(text),
            origins,
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Where the token that stands at `offset` in [`text`](Self::text) begins in the original.
    pub(super) fn original(&self, offset: usize) -> usize {
        let after = self.origins.partition_point(|(start, _)| *start <= offset);
        let token = after.checked_sub(1).and_then(|at| self.origins.get(at));
        token.map_or(offset, |(_, original)| *original)
    }
}

struct Token<'t> {
    offset: usize,
    text: &'t str,
    role: Role,
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    /// The first word or text of an item.
    Key,
    /// A `{` whose contents may be a block's, if it is not itself in an object.
    Block,
    /// A `{` whose contents must be an object's, and which needs a `=`.
    Object,
    /// A `{` too, if it stands in a list: an object without a key.
    Other,
}

/// The file, or an open bracket.
#[derive(Default)]
struct Bracket {
    is_list: bool,
    /// The `{` if it follows a single key: only its contents show what it is.
    undecided: Option<usize>,
    follows_assign: bool,
    holds_block: bool,
    holds_text_key: bool,
    /// Of the item that is being read.
    keys: usize,
    is_assigned: bool,
}

/// The tokens of a text without comments, commas between items, and the `=` between a single key and a brace.
fn tokens(original: &str) -> Vec<Token<'_>> {
    let mut tokens: Vec<Token<'_>> = Vec::new();
    let mut here = Bracket::default();
    let mut around = Vec::new();
    let mut rest = skip_blanks(original);
    while !rest.is_empty() {
        let offset = original.len() - rest.len();
        let (text, after) = rest.split_at(token_length(rest));
        rest = skip_blanks(after);
        let mut role = Role::Other;
        match text {
            "{" | "[" => {
                let mut inner = Bracket {
                    is_list: text == "[",
                    ..Bracket::default()
                };
                if text == "{" && !here.is_list {
                    role = Role::Block;
                    here.holds_block |= !here.is_assigned;
                    if here.keys == 1 {
                        inner.follows_assign = here.is_assigned && tokens.pop().is_some();
                        inner.undecided = Some(tokens.len());
                    }
                }
                around.push(mem::replace(&mut here, inner));
            }
            "}" | "]" => {
                let closed = mem::replace(&mut here, around.pop().unwrap_or_default());
                (here.keys, here.is_assigned) = (0, false);
                let is_map = closed.follows_assign && !closed.holds_block;
                let brace = closed.undecided.and_then(|at| tokens.get_mut(at));
                if let Some(brace) = brace.filter(|_| is_map || closed.holds_text_key) {
                    brace.role = Role::Object;
                }
            }
            _ if here.is_list => {}
            "," if here.keys == 0 => continue,
            "=" => here.is_assigned = true,
            _ if here.is_assigned => (here.keys, here.is_assigned) = (0, false),
            key => {
                here.keys += 1;
                if here.keys == 1 {
                    role = Role::Key;
                    here.holds_text_key |= key.starts_with('"') && word_in_quotes(key).is_none();
                }
            }
        }
        tokens.push(Token { offset, text, role });
    }
    tokens
}

/// What follows the blanks, line ends and comments. A comment without end stays, since it may hide a rule.
fn skip_blanks(mut rest: &str) -> &str {
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        if rest.starts_with('#') || rest.starts_with("//") {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if let Some(comment) = rest.strip_prefix("/*")
            && let Some((_, after)) = comment.split_once("*/")
        {
            rest = after;
        } else {
            return rest;
        }
    }
}

/// Of the token at the start of `rest`, which is not empty.
fn token_length(rest: &str) -> usize {
    if rest.starts_with("<<") {
        return heredoc_length(rest);
    }
    if rest.starts_with(is_sign) {
        return 1;
    }
    let mut is_escaped = false;
    let mut after_first = rest.char_indices().skip(1);
    let end = if rest.starts_with('"') {
        let end = after_first.find(|(_, c)| {
            let is_end = *c == '"' && !is_escaped;
            is_escaped = *c == '\\' && !is_escaped;
            is_end
        });
        end.map(|(quote, _)| quote + 1)
    } else {
        let end = after_first.find(|(_, c)| is_sign(*c) || " \t\r\n\"#/<".contains(*c));
        end.map(|(at, _)| at)
    };
    end.unwrap_or(rest.len())
}

fn is_sign(c: char) -> bool {
    matches!(c, '{' | '}' | '[' | ']' | ',' | '=')
}

/// The length of `<<END`, lines, and `END` where a line begins.
fn heredoc_length(rest: &str) -> usize {
    let head = rest.find('\n').map_or(rest.len(), |end| end + 1);
    let anchor = rest[..head].trim_start_matches(['<', '-']).trim_end();
    let mut length = head;
    for line in rest[head..].split_inclusive('\n') {
        let after = line.trim_start_matches([' ', '\t']).strip_prefix(anchor);
        if let Some(after) = after.filter(|after| !after.starts_with(is_in_word)) {
            return length + line.len() - after.len();
        }
        length += line.len();
    }
    length
}

/// Has HCL 2 read `${` and `%{` as they are. Where they are escaped already, they stay so.
fn escape_templates(text: &str) -> String {
    let plain = text.replace("$${", "${").replace("%%{", "%{");
    plain.replace("${", "$${").replace("%{", "%%{")
}

fn word_in_quotes(text: &str) -> Option<&str> {
    let word = text.strip_prefix('"')?.strip_suffix('"')?;
    let is_word = word.starts_with(|c: char| c.is_alphabetic() || c == '_');
    (is_word && word.chars().all(is_in_word)).then_some(word)
}

fn is_in_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-')
}
