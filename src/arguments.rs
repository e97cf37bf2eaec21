//! The command line, read; and what clap alone would let pass: options that every command takes, given to one that has
//! no use for them. An option that is accepted and ignored misleads, so it is refused like a wrong one, with exit 2.

use crate::Cli;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, CommandFactory, FromArgMatches};
use interrex_ctl::Common;

/// Commands that ask no coordinator, and which of the common options they take all the same.
const ALONE: &[(&str, &[&str])] =
    &[("demo", &["output"]), ("demo-sweeper", &[]), ("node", &[]), ("raft-log", &[]), ("ledger", &[])];

/// Reads the command line; ends the process where it is wrong, or asks for help.
pub(crate) fn parse() -> Cli {
    let mut command = command();
    let matches = command.clone().try_get_matches().unwrap_or_else(|error| named(error).exit());
    if let Some((name, why)) = useless(&matches) {
        command.build();
        // Its usage is the one to be shown.
        let error = match command.find_subcommand_mut(name) {
            Some(command) => command.error(ErrorKind::ArgumentConflict, why),
            None => command.error(ErrorKind::ArgumentConflict, why),
        };
        error.exit();
    }
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// What is missing stands in the first line, which is the one that people and logs keep; clap puts it below.
fn named(error: clap::Error) -> clap::Error {
    let (ErrorKind::MissingRequiredArgument, Some(ContextValue::Strings(missing)), Some(usage)) =
        (error.kind(), error.get(ContextKind::InvalidArg), error.get(ContextKind::Usage))
    else {
        return error;
    };
    let list = missing.iter().map(|argument| format!("'{argument}'")).collect::<Vec<_>>().join(", ");
    let verb = if missing.len() == 1 { "is" } else { "are" };
    let told = format!("{list} {verb} missing\n\n{usage}\n\nFor more information, try '--help'.\n");
    clap::Error::raw(error.kind(), told)
}

/// The command line's grammar; help of a command shows no option that it would refuse.
fn command() -> Command {
    ALONE.iter().fold(Cli::command(), |command, (name, taken)| {
        // A command that has an argument of that name already is not given the common one, which would be shown.
        let hidden = common().filter(|arg| !taken.contains(&arg.get_id().as_str())).map(|arg| arg.hide(true));
        command.mut_subcommand(name, |alone| alone.args(hidden))
    })
}

/// A common option on the command line of a command that ignores it, in words.
fn useless(matches: &ArgMatches) -> Option<(&str, String)> {
    let (name, below) = matches.subcommand()?;
    // Of the coordinators' commands one works on files.
    let (name, taken) = match below.subcommand_name() {
        Some("recover") if name == "coordinator" => ("coordinator recover", &[][..]),
        _ => *ALONE.iter().find(|(alone, _)| *alone == name)?,
    };
    let given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let useless =
        common().map(|arg| arg.get_id().to_string()).find(|id| !taken.contains(&id.as_str()) && given(id))?;
    Some((name, format!("'interrex {name}' has no use for '--{}'; leave it away", useless.replace('_', "-"))))
}

/// The options that every command takes.
fn common() -> impl Iterator<Item = Arg> {
    let common = Common::augment_args(Command::new("common"));
    common.get_arguments().cloned().collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> Option<String> {
        useless(&command().get_matches_from(line.split(' '))).map(|(_, why)| why)
    }

    #[test]
    fn what_a_command_has_no_use_for_is_refused_wherever_it_stands() {
        let why = told("interrex --coordinators a:1 raft-log /d").unwrap();
        assert_eq!(why, "'interrex raft-log' has no use for '--coordinators'; leave it away");
        for line in [
            "interrex node -c f --coordinators a:1",
            "interrex node -c f --output json",
            "interrex demo --coordinators a:1",
            "interrex coordinator recover -c f --output json",
            "interrex ledger verify --hosts a:1 --ledger f --coordinators a:1",
        ] {
            assert!(told(line).is_some(), "{line}");
        }
        for line in [
            "interrex node -c f",
            "interrex demo --output json --script kill-primary",
            "interrex list --coordinators a:1 --output json",
            "interrex --coordinators a:1 coordinator list",
        ] {
            assert_eq!(told(line), None, "{line}");
        }
    }

    #[test]
    fn what_is_missing_is_named_in_the_first_line() {
        let first = |line: &str| {
            let error = named(command().try_get_matches_from(line.split(' ')).unwrap_err());
            assert_eq!(error.exit_code(), 2);
            let text = error.to_string();
            assert!(text.contains("Usage: interrex"), "{text}");
            text.lines().next().unwrap_or_default().to_owned()
        };
        assert_eq!(first("interrex show"), "error: '<CLUSTER>' is missing");
        assert_eq!(first("interrex reinit"), "error: '<CLUSTER>', '<INSTANCE>' are missing");
        assert_eq!(first("interrex show --frobnicate"), "error: unexpected argument '--frobnicate' found");
    }

    #[test]
    fn help_shows_what_can_be_given_and_nothing_else() {
        let help = |name: &str| {
            let mut command = command();
            command.build();
            command.find_subcommand_mut(name).unwrap().render_long_help().to_string()
        };
        assert!(help("list").contains("--coordinators"));
        assert!(!help("node").contains("--coordinators") && !help("node").contains("--output"));
        assert!(help("demo").contains("--output") && !help("demo").contains("--coordinators"));
    }

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }
}
