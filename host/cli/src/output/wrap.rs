//! Paragraphs for a terminal, broken where Vault's client breaks them.
//!
//! Vault wraps with the least raggedness: the sum of the squares of what is left of each line, the last one excepted.
//! Printed instructions therefore look the same, line by line.

use crate::limits::TEXT_WIDTH;

/// What a line costs that is longer than it may be, as one word alone can make it.
const TOO_LONG: usize = 100_000;

/// `text` as lines of at most [`TEXT_WIDTH`] characters.
pub(crate) fn paragraph(text: &str) -> String {
    lines(text, TEXT_WIDTH).join("\n")
}

/// `text` wrapped with `padding` blanks before each line.
pub(crate) fn indented(text: &str, padding: usize) -> String {
    let lines = lines(text, TEXT_WIDTH - padding);
    lines
        .iter()
        .map(|line| format!("{:padding$}{line}", ""))
        .collect::<Vec<_>>()
        .join("\n")
}

fn lines(text: &str, width: usize) -> Vec<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let lengths: Vec<usize> = words.iter().map(|word| word.chars().count()).collect();

    // `best[i]`: the cost of setting the words from `i` on, and where the first of their lines ends.
    let mut best = vec![(0_usize, words.len()); words.len() + 1];
    let mut rest = 0;
    for i in (0..words.len()).rev() {
        rest += lengths[i] + usize::from(rest > 0);
        if rest <= width {
            continue;
        }
        best[i].0 = usize::MAX;
        let mut line = 0;
        for j in i + 1..=words.len() {
            line += lengths[j - 1] + usize::from(line > 0);
            let raggedness = width.abs_diff(line).pow(2) + if line > width { TOO_LONG } else { 0 };
            let cost = best[j].0.saturating_add(raggedness);
            if cost < best[i].0 {
                best[i] = (cost, j);
            }
            if line > width {
                break;
            }
        }
    }

    let mut lines = Vec::new();
    let mut start = 0;
    while start < words.len() {
        let end = best[start].1;
        lines.push(words[start..end].join(" "));
        start = end;
    }
    lines
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(text: &str, expected: Expect) {
        expected.assert_eq(&paragraph(text));
    }

    #[test]
    fn lines_break_where_vaults_do() {
        check(
            "Vault initialized with 5 key shares and a key threshold of 3. Please securely distribute the key shares printed \
             above. When the Vault is re-sealed, restarted, or stopped, you must supply at least 3 of these keys to unseal it \
             before it can start servicing requests.",
            expect![[r#"
                Vault initialized with 5 key shares and a key threshold of 3. Please securely
                distribute the key shares printed above. When the Vault is re-sealed,
                restarted, or stopped, you must supply at least 3 of these keys to unseal it
                before it can start servicing requests."#]],
        );
        check("short", expect![["short"]]);
        check("", expect![[""]]);
    }

    #[test]
    fn a_word_that_is_too_long_is_not_cut() {
        let long = "x".repeat(100);
        assert_eq!(
            paragraph(&format!("before {long} after")),
            format!("before {long}\nafter")
        );
        assert_eq!(indented("a b", 2), "  a b");
    }
}
