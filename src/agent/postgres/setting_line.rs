//! One line of a configuration file, as PostgreSQL reads it (guc-file.l): the one place that says which setting a line
//! makes, whoever asks. Indentation, `=` or none, quotes, escapes and comments are PostgreSQL's; what it would refuse makes
//! no setting here, but that numbers are taken as they stand.

/// Name, in lower case, and value of the setting that a line makes, `include` directives among them; `None` for blank
/// lines and comments, and for what PostgreSQL calls a syntax error.
pub(super) fn setting(line: &str) -> Option<(String, String)> {
    let (name, rest) = name(skip_blanks(line))?;
    let rest = skip_blanks(rest);
    let rest = skip_blanks(rest.strip_prefix('=').unwrap_or(rest));
    let (value, rest) = match rest.strip_prefix('\'') {
        Some(quoted) => quoted_value(quoted)?,
        None => bare_value(rest)?,
    };
    let rest = skip_blanks(rest);
    (rest.is_empty() || rest.starts_with('#')).then(|| (name.to_ascii_lowercase(), value))
}

/// The name alone.
pub(super) fn name_in(line: &str) -> Option<String> {
    setting(line).map(|(name, _)| name)
}

/// Whether a line says nothing: blank, or a comment.
pub(super) fn says_nothing(line: &str) -> bool {
    let rest = skip_blanks(line);
    rest.is_empty() || rest.starts_with('#')
}

fn skip_blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\r'])
}

fn begins(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

fn goes_on(c: char) -> bool {
    begins(c) || c.is_ascii_digit()
}

/// One word, or two with a dot between them.
fn name(text: &str) -> Option<(&str, &str)> {
    let end = word(text)?;
    let dotted = text[end..].strip_prefix('.').and_then(word);
    Some(text.split_at(dotted.map_or(end, |second| end + 1 + second)))
}

/// How long the word is that `text` begins with.
fn word(text: &str) -> Option<usize> {
    text.starts_with(begins).then(|| text.find(|c| !goes_on(c)).unwrap_or(text.len()))
}

/// Numbers with their units, and words that need no quotes.
fn bare_value(text: &str) -> Option<(String, &str)> {
    let belongs = |c: char| goes_on(c) || matches!(c, '-' | '+' | '.' | ':' | '/');
    if text.starts_with([':', '/']) {
        return None;
    }
    let (value, rest) = text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()));
    (!value.is_empty()).then(|| (value.to_owned(), rest))
}

/// Up to the closing quote, with what was written for something else put back.
fn quoted_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' if chars.next_if(|(_, next)| *next == '\'').is_some() => value.push('\''),
            '\'' => return Some((value, &text[at + 1..])),
            '\\' => {
                let (_, escaped) = chars.next()?;
                value.push(match escaped {
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    '0'..='7' => {
                        let mut code = escaped.to_digit(8)?;
                        for _ in 0..2 {
                            if let Some((_, digit)) = chars.next_if(|(_, next)| next.is_digit(8)) {
                                code = code * 8 + digit.to_digit(8)?;
                            }
                        }
                        // One byte, as there; what lies above ASCII is told, and nothing hangs on it.
                        char::from(u8::try_from(code & 0xFF).ok()?)
                    }
                    other => other,
                });
            }
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_postgresql_does() {
        let read = |line: &str| setting(line).map(|(key, value)| format!("{key}={value}"));
        for (line, wanted) in [
            ("work_mem = 4MB # small", Some("work_mem=4MB")),
            ("  \tWork_Mem '4 MB'\r", Some("work_mem=4 MB")),
            ("archive_command='cp ''%p'' /a' # x", Some("archive_command=cp '%p' /a")),
            (r"log_line_prefix = '\t\'%m\134'#x", Some("log_line_prefix=\t'%m\\")),
            ("include_dir 'conf.d'", Some("include_dir=conf.d")),
            ("include conf.d/mine-1.conf", Some("include=conf.d/mine-1.conf")),
            ("port=5433", Some("port=5433")),
            ("port'5433'", Some("port=5433")),
            ("auto_explain.log_min_duration = -1", Some("auto_explain.log_min_duration=-1")),
            ("restore_command = ''", Some("restore_command=")),
            ("work_mem=4MB#small", Some("work_mem=4MB")),
            ("# port = 5433", None),
            ("   ", None),
            ("port =", None),
            ("port", None),
            ("port = 5433 5434", None),
            ("archive_command = 'never closed", None),
            ("archive_command = /bin/true", None),
            ("= 5433", None),
            ("5port = 1", None),
        ] {
            assert_eq!(read(line).as_deref(), wanted, "{line}");
        }
        assert!(says_nothing(" \t# why") && says_nothing("") && !says_nothing("port = 1"));
    }
}
