//! Reading one section of the file, key by key, with the line of each at hand.
//!
//! A reader never stops at the first problem: what cannot be read becomes a problem and `None`, and the
//! next key is read. All problems meet in one [`Sink`]. No value leaves here unless it has the type that
//! was asked for; whether values fit together is judged in `contradictions`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Range;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::schema;
use crate::Problem;

/// The file's text, the problems found in it so far, and the line of each key that was read.
pub(super) struct Sink<'t> {
    file: &'t str,
    text: &'t str,
    problems: RefCell<Vec<Problem>>,
    lines: RefCell<BTreeMap<String, usize>>,
}

impl<'t> Sink<'t> {
    pub(super) fn new(file: &'t str, text: &'t str) -> Self {
        Sink { file, text, problems: RefCell::default(), lines: RefCell::default() }
    }

    /// The line of a byte offset, counted from 1.
    pub(super) fn line_of(&self, offset: usize) -> usize {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        before.iter().filter(|b| **b == b'\n').count() + 1
    }

    /// The line of a key that was read, by its id (`instance[1].pgdata`); of its section where the key
    /// is not written.
    pub(super) fn line_at(&self, id: &str) -> usize {
        let lines = self.lines.borrow();
        let section = id.rsplit_once('.').map_or("", |(section, _)| section);
        lines.get(id).or_else(|| lines.get(section)).copied().unwrap_or(1)
    }

    /// Whether a key of this id is written in the file.
    pub(super) fn was_read(&self, id: &str) -> bool {
        self.lines.borrow().contains_key(id)
    }

    fn note(&self, id: &str, offset: usize) -> usize {
        let line = self.line_of(offset);
        self.lines.borrow_mut().insert(id.into(), line);
        line
    }

    /// The text of a span, or nothing where the span does not fall on characters.
    pub(super) fn text_of(&self, span: Range<usize>) -> &'t str {
        self.text.get(span).unwrap_or_default()
    }

    pub(super) fn refuse_line(&self, line: Option<usize>, text: impl Into<String>) {
        self.problems.borrow_mut().push(Problem::new(self.file, line, text));
    }

    /// A problem of one key: `FILE:LINE: key 'KEY': WHY`.
    pub(super) fn refuse(&self, line: usize, key: &str, why: impl Display) {
        self.refuse_line(Some(line), format!("key '{key}': {why}"));
    }

    pub(super) fn is_clean(&self) -> bool {
        self.problems.borrow().is_empty()
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }
}

/// A table of the file, under the name that the schema has for it.
pub(super) struct Section<'a, 't> {
    sink: &'a Sink<'t>,
    /// As messages name it: `instance`.
    path: String,
    /// As `line_at` knows it: `instance[1]`.
    id: String,
    line: usize,
    table: &'a DeTable<'t>,
}

impl<'a, 't> Section<'a, 't> {
    /// The top of the file.
    pub(super) fn root(sink: &'a Sink<'t>, table: &'a DeTable<'t>) -> Self {
        let root = Section { sink, path: String::new(), id: String::new(), line: 1, table };
        root.refuse_unknown("");
        root
    }

    fn refuse_unknown(&self, schema: &str) {
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if !schema::keys_of(schema).contains(&name) {
                let line = self.sink.line_of(key.span().start);
                let advice = schema::advice(schema, name);
                self.sink.refuse(line, &joined(&self.path, name), format!("unknown key; {advice}"));
            }
        }
    }

    /// The key's value, if it is there.
    pub(super) fn get(&self, key: &str) -> Option<Field<'a, 't>> {
        let (name, value) = self.table.iter().find(|(name, _)| name.get_ref() == key)?;
        let id = joined(&self.id, key);
        let line = self.sink.note(&id, name.span().start);
        Some(Field { sink: self.sink, key: joined(&self.path, key), id, line, value })
    }

    /// The key's value; its absence is a problem, told with an `example` to be written, unless the line
    /// about a misspelt key tells of it already.
    pub(super) fn need(&self, key: &str, example: &str) -> Option<Field<'a, 't>> {
        let field = self.get(key);
        let misspelt = || self.table.keys().any(|k| schema::nearest(k.get_ref(), &[key]).is_some());
        if field.is_none() && !misspelt() {
            let why = format!("missing; write {key} = {example}");
            self.sink.refuse(self.line, &joined(&self.path, key), why);
        }
        field
    }
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.into() } else { format!("{path}.{key}") }
}

/// One key with its value and line.
pub(super) struct Field<'a, 't> {
    pub(super) sink: &'a Sink<'t>,
    key: String,
    id: String,
    pub(super) line: usize,
    value: &'a Spanned<DeValue<'t>>,
}

impl<'a, 't> Field<'a, 't> {
    pub(super) fn refuse(&self, why: impl Display) {
        self.sink.refuse(self.line, &self.key, why);
    }

    fn wrong_type<T>(&self, expected: &str) -> Option<T> {
        self.refuse(format!("expected {expected}, got {}", shown(self.value.get_ref())));
        None
    }

    /// The string, if it is one; for a key that may be something else as well.
    pub(super) fn text(&self) -> Option<&'a str> {
        self.value.get_ref().as_str()
    }

    /// A string; `expected` is an example of it, as it is written in the file.
    pub(super) fn string(&self, expected: &str) -> Option<&'a str> {
        match self.value.get_ref() {
            DeValue::String(text) => Some(text),
            _ => self.wrong_type(&format!("a string such as {expected}")),
        }
    }

    /// A string that `parse` understands.
    pub(super) fn parsed<T, E: Display>(
        &self,
        expected: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.string(expected)?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(why) => {
                self.refuse(format!("\"{}\": {why}; expected such as {expected}", text.escape_default()));
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn one_of<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let list = words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ");
        let DeValue::String(text) = self.value.get_ref() else {
            return self.wrong_type(&list);
        };
        let found = words.iter().find(|(word, _)| word == text).map(|(_, value)| *value);
        if found.is_none() {
            self.refuse(format!("expected {list}, got \"{}\"", text.escape_default()));
        }
        found
    }

    /// A boolean.
    pub(super) fn boolean(&self, expected: &str) -> Option<bool> {
        match self.value.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            _ => self.wrong_type(expected),
        }
    }

    /// An integer within `range`; `meaning` says what it counts.
    pub(super) fn integer(&self, range: std::ops::RangeInclusive<u8>, meaning: &str) -> Option<u8> {
        let expected = format!("{meaning} from {} to {}", range.start(), range.end());
        let DeValue::Integer(number) = self.value.get_ref() else {
            return self.wrong_type(&expected);
        };
        let value = u8::from_str_radix(number.as_str(), number.radix()).ok().filter(|n| range.contains(n));
        if value.is_none() {
            self.refuse(format!("expected {expected}, got {number}"));
        }
        value
    }

    /// An absolute path without `..`, so that what it names does not depend on where the node was started.
    pub(super) fn path(&self, expected: &str) -> Option<PathBuf> {
        self.parsed(expected, |text| {
            let path = PathBuf::from(text);
            if !path.is_absolute() {
                return Err("not an absolute path");
            }
            if text.chars().any(char::is_control) {
                return Err("holds a control character");
            }
            if path.components().any(|c| c == std::path::Component::ParentDir) {
                return Err("holds '..'");
            }
            // Rebuilt from its components, so that `/a//b/` and `/a/b` are one path.
            let plain: PathBuf = path.components().collect();
            if plain.parent().is_none() { Err("is the root of the file system") } else { Ok(plain) }
        })
    }

    /// A table; its keys are judged by `schema`.
    pub(super) fn section(&self, schema: &str) -> Option<Section<'a, 't>> {
        let DeValue::Table(table) = self.value.get_ref() else {
            return self.wrong_type(&format!("a section {}", schema::header(schema)));
        };
        let (path, id) = (self.key.clone(), self.id.clone());
        let section = Section { sink: self.sink, path, id, line: self.line, table };
        section.refuse_unknown(schema);
        Some(section)
    }

    /// The entries of a table whose keys are names of the user's choice.
    pub(super) fn entries(&self, expected: &str) -> Option<Vec<(&'a str, Field<'a, 't>)>> {
        let DeValue::Table(table) = self.value.get_ref() else {
            return self.wrong_type(expected);
        };
        let mut entries = Vec::new();
        for (name, value) in table {
            let text: &'a str = name.get_ref().as_ref();
            let id = joined(&self.id, text);
            let line = self.sink.note(&id, name.span().start);
            entries.push((text, Field { sink: self.sink, key: joined(&self.key, text), id, line, value }));
        }
        Some(entries)
    }

    /// The elements of an array, each as a field of the same key.
    pub(super) fn elements(&self, expected: &str) -> Option<Vec<Field<'a, 't>>> {
        let DeValue::Array(array) = self.value.get_ref() else {
            return self.wrong_type(expected);
        };
        let mut elements = Vec::new();
        for (index, value) in array.iter().enumerate() {
            let id = format!("{}[{index}]", self.id);
            let line = self.sink.note(&id, value.span().start);
            elements.push(Field { sink: self.sink, key: self.key.clone(), id, line, value });
        }
        Some(elements)
    }
}

/// A value as a message shows it: its type, and the value where that is short.
fn shown(value: &DeValue<'_>) -> String {
    let kind = value.type_str();
    match value {
        DeValue::String(text) => format!("{kind} \"{}\"", text.escape_default()),
        DeValue::Integer(number) => format!("{kind} {number}"),
        DeValue::Float(number) => format!("{kind} {number}"),
        DeValue::Boolean(truth) => format!("{kind} {truth}"),
        _ if kind == "array" => "an array".into(),
        _ => format!("a {kind}"),
    }
}
