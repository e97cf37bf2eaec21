//! The settings that Interrex owns, in an include file of its own: `interrex.conf`, the last word of
//! postgresql.conf. What each says for which role is [`table`]; this file puts it in place, idempotently, keeps
//! postgresql.auto.conf from overriding it, and puts or takes the upstream's password.

use super::configured::Configured;
use super::error::{Error, Result};
use super::files::{blocking, make_private_dir, remove_file, replace, text};
use super::layout::REPLICATION;
use super::parameters::{PARAMETERS, dotted};
use super::server::{PATIENCE, Server};
use super::session::identifier;
use super::setting_line::{name_in, says_nothing, setting};
use super::settings_table::{KEYS, table};
use interrex_cluster::record::Address;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// SQLSTATE of a statement that this server does not take from anybody.
const NOT_SUPPORTED: &str = "0A000";

/// What the server is to be configured as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its part in the cluster.
    pub role: Role,
}

/// A server's part, as its settings know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// The commit rule is in force: written before the promotion, too.
    Primary {
        /// `synchronous_standby_names`.
        sync: SyncText,
    },
    /// Follows an upstream.
    Standby {
        /// Which.
        upstream: Upstream,
    },
    /// Refuses older epochs: no upstream, no `restore_command`.
    Sealed,
    /// Nothing is decided: no upstream either.
    Idle,
}

/// Whom a standby follows, and under which name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Where it listens.
    pub address: Address,
    /// `application_name`, the name in commit rules.
    pub name: String,
    /// The physical slot that holds WAL for this instance there.
    pub slot: Option<String>,
}

/// `synchronous_standby_names` of a primary: `ANY k (names)`, `''` only for `k = 0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncText {
    /// How many standbys have to flush a commit.
    pub k: u32,
    /// Which.
    pub names: Vec<String>,
}

/// What writing the settings did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Written {
    /// The file is another than before: a reload is due, or a start.
    pub changed: bool,
    /// Keys of ours that were found in `postgresql.auto.conf` and taken out: somebody used ALTER SYSTEM. To be told.
    pub stray: Vec<String>,
}

impl SyncText {
    /// The rule under which everybody commits who is not primary: nobody can satisfy it (PROTOCOL.md clause 6).
    fn nobody(k: u32, name: &str) -> String {
        format!("ANY {} (\"{name}\")", k.max(1))
    }

    /// The text of the setting. `nobody` is a name that no standby bears, for a rule without names.
    pub(super) fn render(&self, nobody: &str) -> String {
        match (self.k, self.names.is_empty()) {
            (0, _) => String::new(),
            (k, true) => Self::nobody(k, nobody),
            (k, false) => {
                let names: Vec<String> = self.names.iter().map(|name| identifier(name)).collect();
                format!("ANY {k} ({})", names.join(", "))
            }
        }
    }

    /// Whether a server that shows `shown` has this rule, exactly.
    pub fn is_shown_by(&self, shown: &str) -> bool {
        let nobody = NOBODY.to_owned() + nobody_in(shown).unwrap_or_default();
        self.render(&nobody) == shown
    }
}

/// What the name begins with that no standby bears.
const NOBODY: &str = "nobody_";

/// The random part of the nobody-name in `text`.
fn nobody_in(text: &str) -> Option<&str> {
    let rest = &text[text.find(NOBODY)? + NOBODY.len()..];
    rest.split(|c: char| !c.is_ascii_hexdigit()).next().filter(|random| !random.is_empty())
}

/// The name that stands for nobody in the file as it was, or a new one.
fn nobody_name(before: &str) -> Result<String> {
    if let Some(random) = nobody_in(before) {
        return Ok(format!("{NOBODY}{random}"));
    }
    let random = getrandom::u64().map_err(|e| Error::Unknown(format!("no random number: {e}")))?;
    Ok(format!("{NOBODY}{random:016x}"))
}

/// The include file, beside postgresql.conf.
pub(super) const FILE: &str = "interrex.conf";
const INCLUDE: &str = "include 'interrex.conf'";

impl Server {
    /// Makes the files say `settings`; the server may be up or down. Reloads nothing.
    ///
    /// Where there is no upstream, the password of the upstream goes first, so that no walreceiver that is being
    /// started with the old conninfo gets through (PROTOCOL.md clause 3).
    ///
    /// # Errors
    /// A file that cannot be read or replaced, or is a symbolic link.
    pub async fn write_settings(&self, settings: &Settings) -> Result<Written> {
        let (server, settings) = (self.clone(), settings.clone());
        let (changed, stray) = blocking(move || {
            let pgdata = server.layout().pgdata.clone();
            Ok((server.write_settings_in(&pgdata, &settings.role, false)?, stray_keys(&pgdata)?))
        })
        .await?;
        if stray.is_empty() {
            return Ok(Written { changed, stray });
        }
        self.reset(&stray).await?;
        Ok(Written { changed: true, stray })
    }

    /// Takes settings out of what ALTER SYSTEM has. Where nobody answers, or nobody may say so (`allow_alter_system`, from 17
    /// on), nobody else writes that file either, and it is edited.
    pub(super) async fn reset(&self, names: &[String]) -> Result<()> {
        for name in names {
            match self.ask(&format!("ALTER SYSTEM RESET {}", dotted(name)), PATIENCE).await {
                Ok(_) => {}
                Err(Error::Down { .. } | Error::Starting { .. }) => return self.edit_out(names).await,
                Err(Error::Sql { code, .. }) if code == NOT_SUPPORTED => return self.edit_out(names).await,
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    async fn edit_out(&self, names: &[String]) -> Result<()> {
        let (server, names) = (self.clone(), names.to_vec());
        let gone = move |name: &str| names.iter().any(|gone| gone == name);
        blocking(move || server.drop_settings(&server.layout().pgdata, gone)).await
    }

    /// As [`Self::write_settings`], in any directory and without a server. `restoring` keeps `restore_command`
    /// where there is no upstream: for pg_rewind alone.
    pub(super) fn write_settings_in(&self, dir: &Path, role: &Role, restoring: bool) -> Result<bool> {
        let layout = self.layout();
        let upstream = self.write_passfile(role)?;
        let main = dir.join("postgresql.conf");
        let before = text(&main)?.unwrap_or_default();
        let file = dir.join(FILE);
        let nobody = nobody_name(&text(&file)?.unwrap_or_default())?;
        let major = text(&dir.join("PG_VERSION"))?.and_then(|major| major.trim().parse().ok());
        let mut lines = String::from(
            "# Written by the Interrex agent, which takes this file back to what it should be. docs/settings.md has\n\
             # the reason for each line. Settings of your own belong into postgresql.conf or ALTER SYSTEM.\n",
        );
        let _infallible = writeln!(lines, "include_if_exists '{PARAMETERS}'");
        let logical = Configured::read(dir)?.is("wal_level", &["logical"]);
        for (key, value) in table(layout, role, restoring, logical, &nobody, upstream.as_deref(), major)? {
            let _infallible = writeln!(lines, "{key} = {}", quote(&value)?);
        }
        let changed = replace(layout, &file, lines.as_bytes(), 0o600)?;
        // Ours comes last, for the last one wins.
        let included = include_last(&before);
        Ok(replace(layout, &main, included.as_bytes(), 0o600)? || changed)
    }

    /// Takes our keys out of postgresql.auto.conf of a server that is down.
    pub(super) fn drop_stray_keys(&self, dir: &Path) -> Result<()> {
        self.drop_settings(dir, |name| KEYS.contains(&name))
    }

    /// Takes the settings out of postgresql.auto.conf that `goes` names. For a server that is down.
    pub(super) fn drop_settings(&self, dir: &Path, goes: impl Fn(&str) -> bool) -> Result<()> {
        let path = dir.join(AUTO);
        let Some(before) = text(&path)? else { return Ok(()) };
        let stays = |line: &&str| !name_in(line).is_some_and(|name| goes(&name));
        let kept: String = before.lines().filter(stays).map(|line| format!("{line}\n")).collect();
        replace(self.layout(), &path, kept.as_bytes(), 0o600).map(|_| ())
    }

    /// Puts the upstream's password where the conninfo points, and takes every other away. Gives the conninfo.
    ///
    /// Each name to stream under, and so each epoch, has a file of its own: what was sealed once and follows anew leaves a
    /// startup process that has yet to read its settings with an old conninfo and no password.
    fn write_passfile(&self, role: &Role) -> Result<Option<String>> {
        let layout = self.layout();
        make_private_dir(layout, &layout.private_dir)?;
        let upstream = match role {
            Role::Standby { upstream } => Some(upstream),
            Role::Primary { .. } | Role::Sealed | Role::Idle => None,
        };
        let path = upstream.map(|upstream| layout.private_dir.join(passfile_name(&upstream.name)));
        take_passwords_away(&layout.private_dir, path.as_deref())?;
        let Some((upstream, path)) = upstream.zip(path) else { return Ok(None) };
        let line = pass_line(REPLICATION, &self.credentials().replication);
        replace(layout, &path, line.as_bytes(), 0o600)?;
        Ok(Some(conninfo(&upstream.address, &upstream.name, &path)))
    }
}

/// Where the password for the upstream is kept while it is streamed from under that name.
fn passfile_name(name: &str) -> String {
    format!("{PASSFILE}-{name}")
}

/// Removes every upstream's password but the one in `keep`.
fn take_passwords_away(dir: &Path, keep: Option<&Path>) -> Result<()> {
    let entries = fs::read_dir(dir).map_err(|e| Error::io("list", dir, &e))?;
    for entry in entries {
        let path = entry.map_err(|e| Error::io("list", dir, &e))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.starts_with(PASSFILE)) && Some(path.as_path()) != keep {
            remove_file(&path)?;
        }
    }
    Ok(())
}

/// What the names of such files begin with; also that of earlier versions, who had one for all.
const PASSFILE: &str = "upstream.pass";

/// A line of a password file, for any host.
pub(super) fn pass_line(role: &str, password: &str) -> String {
    format!("*:*:*:{role}:{}\n", password.replace('\\', "\\\\").replace(':', "\\:"))
}

/// How the replication role gets to `address`. No password in it: settings are shown to monitoring roles.
pub(super) fn conninfo(address: &Address, name: &str, passfile: &Path) -> String {
    let value = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    format!(
        "host={} port={} user={REPLICATION} passfile={} application_name={} connect_timeout=3 keepalives_idle=5 \
         keepalives_interval=1 keepalives_count=3 tcp_user_timeout=5000 gssencmode=disable",
        value(&address.host),
        address.port,
        value(&passfile.display().to_string()),
        value(name),
    )
}

/// A value as postgresql.conf wants it.
pub(super) fn quote(value: &str) -> Result<String> {
    if value.contains(['\n', '\r', '\0']) {
        return Err(Error::Refused(format!("a setting must be one line, and this is not: {value:?}")));
    }
    Ok(format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''")))
}

fn include_last(before: &str) -> String {
    let is_ours = |line: &&str| setting(line).is_some_and(|(name, value)| name == "include" && value == FILE);
    if before.lines().rfind(|line| !says_nothing(line)).is_some_and(|last| is_ours(&last)) {
        return before.to_owned();
    }
    let rest: String = before.lines().filter(|line| !is_ours(line)).map(|line| format!("{line}\n")).collect();
    format!("{rest}{INCLUDE}\n")
}

pub(super) const AUTO: &str = "postgresql.auto.conf";

/// The keys of ours that postgresql.auto.conf sets.
fn stray_keys(dir: &Path) -> Result<Vec<String>> {
    let auto = text(&dir.join(AUTO))?.unwrap_or_default();
    Ok(auto.lines().filter_map(name_in).filter(|name| KEYS.contains(&name.as_str())).collect())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{bare_layout, server};
    use super::*;
    use std::fs;

    fn sync(k: u32, names: &[&str]) -> SyncText {
        SyncText { k, names: names.iter().map(|&name| name.to_owned()).collect() }
    }

    #[test]
    fn only_k_0_is_written_as_an_empty_setting() {
        assert_eq!(sync(0, &["a"]).render("nobody_1"), "");
        assert_eq!(sync(2, &["a", "b"]).render("nobody_1"), "ANY 2 (\"a\", \"b\")");
        assert_eq!(sync(2, &[]).render("nobody_1"), "ANY 2 (\"nobody_1\")");
    }

    #[test]
    fn a_rule_is_recognised_exactly() {
        assert!(sync(1, &["a", "b"]).is_shown_by("ANY 1 (\"a\", \"b\")"));
        assert!(!sync(1, &["a", "b"]).is_shown_by("ANY 2 (\"a\", \"b\")"));
        assert!(!sync(1, &["a"]).is_shown_by(""));
        assert!(sync(1, &[]).is_shown_by("ANY 1 (\"nobody_12ab\")"));
        assert!(!sync(0, &[]).is_shown_by("ANY 1 (\"nobody_12ab\")"));
    }

    #[test]
    fn the_include_ends_up_last_once() {
        assert_eq!(include_last("a = 1\n"), "a = 1\ninclude 'interrex.conf'\n");
        let twice = "include 'interrex.conf'\nport = 1\n# end\n";
        assert_eq!(include_last(twice), "port = 1\n# end\ninclude 'interrex.conf'\n");
        for done in ["a = 1\ninclude 'interrex.conf'\n# end\n", "  Include = interrex.conf # ours\n"] {
            assert_eq!(include_last(done), done);
        }
    }

    #[tokio::test]
    async fn the_same_settings_twice_change_nothing_and_stray_keys_go() {
        let (dir, layout) = bare_layout();
        let server = server(layout);
        let sealed = Settings { role: Role::Sealed };
        assert!(server.write_settings(&sealed).await.unwrap().changed);
        assert!(!server.write_settings(&sealed).await.unwrap().changed);
        let conf = fs::read_to_string(server.layout().pgdata.join(FILE)).unwrap();
        assert!(conf.contains("primary_conninfo = ''") && conf.contains("ANY 1 (\"nobody_"), "{conf}");

        let auto = server.layout().pgdata.join(AUTO);
        fs::write(&auto, "# c\nwork_mem = '1MB'\n  Primary_ConnInfo 'host=elsewhere' # by hand\n").unwrap();
        let written = server.write_settings(&sealed).await.unwrap();
        assert_eq!(written, Written { changed: true, stray: vec!["primary_conninfo".to_owned()] });
        assert_eq!(fs::read_to_string(&auto).unwrap(), "# c\nwork_mem = '1MB'\n");
        drop(dir);
    }

    #[tokio::test]
    async fn the_password_is_there_only_while_there_is_an_upstream() {
        let (_dir, layout) = bare_layout();
        let private = layout.private_dir.clone();
        let pass = |name: &str| fs::read_to_string(private.join(passfile_name(name)));
        let server = server(layout);
        let follow = |name: &str| {
            let address = Address { host: "127.0.0.1".to_owned(), port: 5 };
            let upstream = Upstream { address, name: name.to_owned(), slot: Some("ix_a".to_owned()) };
            Settings { role: Role::Standby { upstream } }
        };
        server.write_settings(&follow("ix_a")).await.unwrap();
        assert_eq!(pass("ix_a").unwrap(), "*:*:*:interrex_repl:re\\:pl\n");
        let conf = fs::read_to_string(server.layout().pgdata.join(FILE)).unwrap();
        assert!(!conf.contains("re:pl") && conf.contains("application_name=''ix_a''"), "{conf}");
        server.write_settings(&Settings { role: Role::Sealed }).await.unwrap();
        assert!(pass("ix_a").is_err());
        server.write_settings(&follow("ix_b")).await.unwrap();
        assert!(pass("ix_b").is_ok() && pass("ix_a").is_err(), "an old conninfo gets through nowhere");
    }

    #[test]
    fn every_key_of_ours_is_argued_in_the_docs() {
        let docs = include_str!("../../../docs/settings.md");
        for key in KEYS {
            assert!(docs.contains(&format!("| `{key}` |")), "docs/settings.md lacks {key}");
        }
    }
}
