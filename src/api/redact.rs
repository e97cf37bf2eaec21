//! How messages that hold a password are printed: without it. Their `Debug` is not generated (build.rs), so that no
//! log line of ours or of a library can spill one.

use crate::pb;
use std::fmt;

impl fmt::Debug for pb::Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("owner", &self.owner).finish_non_exhaustive()
    }
}

impl fmt::Debug for pb::Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owner").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for pb::CreateClusterRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateClusterRequest")
            .field("name", &self.name)
            .field("spec", &self.spec)
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for pb::ConnectionInfoReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionInfoReply")
            .field("hosts", &self.hosts)
            .field("primary_first", &self.primary_first)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_prints_a_password() {
        let password = || "hunter2".to_owned();
        let owner = pb::Owner { name: "app".to_owned(), password: password() };
        let secrets =
            pb::Secrets { superuser: password(), replication: password(), owner: Some(owner.clone()) };
        let create = pb::CreateClusterRequest { owner_password: Some(password()), ..Default::default() };
        let info = pb::ConnectionInfoReply { password: Some(password()), ..Default::default() };
        let printed = format!("{owner:?} {secrets:?} {create:?} {info:?}");
        assert!(!printed.contains("hunter2"), "{printed}");
    }
}
