//! One word for one thing in every line of the log: whoever collects the logs asks by field. docs/logs.md has the words; a
//! field that is not among them is told, and so is a word that no line has.
//!
//! Fields stand before the message of a `tracing` macro: `name = value`, `%name`, `?name` or `name`. Why something failed is
//! the message's to say, with the way out.

use std::collections::{BTreeMap, BTreeSet};

const MACROS: [&str; 5] =
    ["tracing::error!(", "tracing::warn!(", "tracing::info!(", "tracing::debug!(", "tracing::trace!("];

/// The words of the table: ``| `word` | what it is |``.
pub(crate) fn words(page: &str) -> BTreeSet<String> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    rows.map(|(word, _)| word.to_owned()).collect()
}

pub(crate) fn breaches(sources: &BTreeMap<String, String>, words: &BTreeSet<String>) -> Vec<String> {
    let (mut lines, mut unused) = (Vec::new(), words.clone());
    for (path, text) in sources.iter().filter(|(path, _)| path.starts_with("src/")) {
        for (number, field) in fields(text) {
            unused.remove(&field);
            if !words.contains(&field) {
                lines.push(format!(
                    "{path}:{number}: log field '{field}' is not in docs/logs.md: take the word that is, or add it"
                ));
            }
        }
    }
    lines.extend(unused.iter().map(|word| format!("docs/logs.md: no line of the log has a field '{word}'")));
    lines
}

/// Every field that the text logs, with the line its macro stands on.
fn fields(text: &str) -> Vec<(usize, String)> {
    let calls = MACROS.iter().flat_map(|name| text.match_indices(name).map(|(at, _)| (at, at + name.len())));
    let named = |(at, arguments): (usize, usize)| {
        let number = text[..at].matches('\n').count() + 1;
        let before_message = split(&text[arguments..]).into_iter().take_while(|one| !one.starts_with('"'));
        before_message.map(name).map(move |field| (number, field)).collect::<Vec<_>>()
    };
    calls.flat_map(named).collect()
}

/// The arguments up to the macro's closing parenthesis; what stands within strings and brackets separates nothing.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut begin, mut depth, mut in_string, mut escaped) = (Vec::new(), 0, 0_u32, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            _ if in_string => {}
            ')' | ']' | '}' if depth == 0 => {
                parts.push(text[begin..at].trim());
                break;
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[begin..at].trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts
}

fn name(argument: &str) -> String {
    let argument = argument.trim_start_matches(['%', '?']);
    let end = argument.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(argument.len());
    argument[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_under_a_second_name_and_a_word_that_nobody_uses_are_told() {
        let text = "\ntracing::warn!(\n    cluster = %f(a, \"x, )\"), ?peer, machine, k = self.k(),\n    \"it is {gone}: {why}\", late\n);";
        assert_eq!(fields(text), ["cluster", "peer", "machine", "k"].map(|name| (2, name.to_owned())));
        let words = words(
            "| field | what it is |\n| --- | --- |\n| `cluster` | its name |\n| `machine` | its name |\n| `k` | how many |\n| `lsn` | where |\n",
        );
        assert_eq!(
            breaches(&[("src/x.rs".to_owned(), text.to_owned())].into(), &words),
            [
                "src/x.rs:2: log field 'peer' is not in docs/logs.md: take the word that is, or add it",
                "docs/logs.md: no line of the log has a field 'lsn'"
            ]
        );
    }
}
