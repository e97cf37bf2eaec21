//! From the text of a node file to a `Node`, or to one line for each problem.
//!
//! Three passes, each only when the one before found nothing, so that one slip is not told twice:
//! the text is TOML; every key is known, present and well-formed (`sections`); no two keys contradict
//! each other (`contradictions`). Nothing here looks at the machine; that is `world`'s.

mod contradictions;
mod schema;
mod section;
mod sections;
#[cfg(test)]
mod tests;

use std::path::Path;

use toml::de::DeTable;

use crate::{ConfigError, Node, Problem};
use section::{Section, Sink};

/// Reads a node file.
///
/// # Errors
/// A line for each problem, when the file cannot be read, is not TOML, or says what no node can do.
pub fn load(path: &Path) -> Result<Node, ConfigError> {
    let file = path.display().to_string();
    let text = crate::text::read(path).map_err(|why| {
        let why = format!("{why}; name a readable node file (TOML) with -c FILE");
        ConfigError::new(vec![Problem::new(&file, None, why)])
    })?;
    let mut node = parse(&file, &text)?;
    node.file = path.to_owned();
    Ok(node)
}

/// Reads the text of a node file; `file` is how messages name it.
pub(crate) fn parse(file: &str, text: &str) -> Result<Node, ConfigError> {
    let sink = Sink::new(file, text);
    let table = DeTable::parse(text).map_err(|e| not_toml(&sink, file, &e))?;
    let node = sections::node(&Section::root(&sink, table.get_ref()));
    if let Some(node) = node.as_ref().filter(|_| sink.is_clean()) {
        contradictions::find(&sink, node);
    }
    match node {
        Some(node) if sink.is_clean() => Ok(Node { file: file.into(), ..node }),
        _ => Err(ConfigError::new(sink.into_problems())),
    }
}

fn not_toml(sink: &Sink<'_>, file: &str, error: &toml::de::Error) -> ConfigError {
    let span = error.span();
    let line = span.as_ref().map(|span| sink.line_of(span.start));
    let message = error.message().trim().replace('\n', ", ");
    let text = match span.map(|span| sink.text_of(span)).filter(|_| message == "duplicate key") {
        Some(key) => format!("key '{key}': written twice in one section; remove one of the two"),
        None => format!("not TOML: {message}; correct this line"),
    };
    ConfigError::new(vec![Problem::new(file, line, text)])
}
