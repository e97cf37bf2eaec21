//! What the wire says of itself: proto/ is the documentation of the API, and reflection shows its names to everybody.
//! Every rpc, message and enum has a sentence above it, every field and value one beside or above it, unless its name is
//! a word that the head of proto/types.proto explains for all files.

use std::collections::{BTreeMap, BTreeSet};

/// The words that types.proto explains once: `//   word  what it means`.
pub(crate) fn glossary(types: &str) -> BTreeSet<String> {
    let explained = types.lines().filter_map(|line| {
        let (word, meaning) = line.strip_prefix("//   ")?.split_once("  ")?;
        (!meaning.trim().is_empty()).then(|| word.to_owned())
    });
    explained.collect()
}

pub(crate) fn undocumented(files: &BTreeMap<String, String>, glossary: &BTreeSet<String>) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, text) in files {
        let mut above = "";
        for (number, line) in (1..).zip(text.lines()) {
            let (code, beside) = line.split_once("//").unwrap_or((line, ""));
            let told = !beside.trim().is_empty() || above.trim_start().starts_with("//");
            for what in declared(code).iter().filter(|what| !told && !glossary.contains(what.name())) {
                lines.push(format!(
                    "{path}:{number}: {what} has no comment: say unit, owner and what absence means"
                ));
            }
            above = line;
        }
    }
    lines
}

#[derive(Debug, PartialEq, Eq)]
enum Declared<'a> {
    Whole(&'a str, &'a str),
    Field(&'a str),
}

impl Declared<'_> {
    /// A name that a glossary may explain; a message or an rpc is explained where it stands.
    fn name(&self) -> &str {
        match self {
            Self::Whole(..) => "",
            Self::Field(name) => name,
        }
    }
}

impl std::fmt::Display for Declared<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(kind, name) => write!(f, "{kind} {name}"),
            Self::Field(name) => write!(f, "field {name}"),
        }
    }
}

/// What a line declares. A nested message is told by its fields, and by the field that holds it.
fn declared(code: &str) -> Vec<Declared<'_>> {
    let words: Vec<&str> = code.split_whitespace().collect();
    match words[..] {
        [kind @ ("message" | "enum"), name, ..] if !code.starts_with(' ') => {
            vec![Declared::Whole(kind, name)]
        }
        ["rpc", name, ..] => vec![Declared::Whole("rpc", name.split('(').next().unwrap_or_default())],
        ["syntax" | "package" | "import" | "service", ..] => Vec::new(),
        _ => fields(code.split_once('{').map_or(code, |(_, inside)| inside)),
    }
}

/// `type name = 1;`, or a value `NAME = 1;` of an enum; several on the line of a small message.
fn fields(code: &str) -> Vec<Declared<'_>> {
    fn name(one: &str) -> Option<&str> {
        let (before, number) = one.split_once(" = ")?;
        number.trim().parse::<u32>().ok()?;
        before.split_whitespace().next_back()
    }
    // The zero of an enum is explained for all of them.
    let named = code.split(';').filter_map(name).filter(|name| !name.ends_with("_UNSPECIFIED"));
    named.map(Declared::Field).collect()
}

#[cfg(test)]
mod breached {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        let glossary = glossary("//   epoch  a reign\n//   empty  \n// word  elsewhere\n");
        assert_eq!(glossary, ["epoch".to_owned()].into());
        let files = [("proto/x.proto".to_owned(), text.to_owned())].into();
        let all = undocumented(&files, &glossary).into_iter();
        all.map(|line| line.split(" has no comment").next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn whatever_has_no_comment_is_told() {
        assert_eq!(told("service S {\n  rpc Do(A) returns (stream B);\n}"), ["proto/x.proto:2: rpc Do"]);
        assert_eq!(told("message A {\n  string x = 1;\n}"), ["message A", "field x"].map(at_line()));
        assert_eq!(told("// A.\nmessage A {\n  message B { bool y = 1; }\n}"), ["proto/x.proto:3: field y"]);
        assert_eq!(
            told("// E.\nenum E {\n  E_UNSPECIFIED = 0;\n  E_ONE = 1;\n}"),
            ["proto/x.proto:4: field E_ONE"]
        );
        assert_eq!(told("// A.\nmessage A {\n  map<string, string> z = 8;\n}"), ["proto/x.proto:3: field z"]);
    }

    fn at_line() -> impl FnMut(&str) -> String {
        let mut line = 0;
        move |what| {
            line += 1;
            format!("proto/x.proto:{line}: {what}")
        }
    }

    #[test]
    fn what_is_told_beside_above_or_in_the_glossary_stands() {
        assert_eq!(
            told(
                "// Does.\nmessage A {\n  uint32 epoch = 1;\n  // Above.\n  string x = 2;\n  string y = 3; // beside\n  oneof z {\n  }\n}"
            ),
            [""; 0]
        );
    }
}
