//! Whom PostgreSQL runs as: it refuses root, and only root can become somebody else.
//!
//! The account is looked up with `id`, which asks every source that the machine knows (files, LDAP, …).

use std::process::Command;

/// An account of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its number; never 0.
    pub uid: u32,
    /// Its main group.
    pub gid: u32,
    /// All its groups, the main one among them.
    pub groups: Vec<u32>,
}

const DEFAULT: &str = "postgres";

/// The user to become, or `None` where the starting user is the right one already.
pub(super) fn whom(run_as: Option<&str>) -> Result<Option<User>, String> {
    let me = rustix::process::geteuid();
    if me.is_root() {
        let name = run_as.unwrap_or(DEFAULT);
        let user = look_up(name)?;
        if user.uid == 0 {
            return Err(format!("\"{name}\" is root, as whom PostgreSQL refuses to run; name another user"));
        }
        return Ok(Some(user));
    }
    let Some(name) = run_as else { return Ok(None) };
    let user = look_up(name)?;
    if user.uid != me.as_raw() {
        return Err(format!(
            "\"{name}\" is another user, whom only root can become; start the node as root or as {name}, or \
             remove the key"
        ));
    }
    Ok(None)
}

fn look_up(name: &str) -> Result<User, String> {
    let unknown = || {
        format!(
            "there is no user \"{name}\" on this machine; make it (useradd --system {name}), or name another \
             one with run_as"
        )
    };
    // After `--` a name cannot pass for an option; digits alone would be taken for a number.
    let ask = |what: &str| -> Result<Vec<u32>, String> {
        let output = Command::new("id")
            .args([what, "--", name])
            .output()
            .map_err(|e| format!("program 'id' cannot be run: {e}; install coreutils"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let numbers: Option<Vec<u32>> = text.split_whitespace().map(|n| n.parse().ok()).collect();
        numbers.filter(|n| output.status.success() && !n.is_empty()).ok_or_else(unknown)
    };
    let (uid, gid, groups) = (ask("-u")?, ask("-g")?, ask("-G")?);
    Ok(User { name: name.into(), uid: uid[0], gid: gid[0], groups })
}
