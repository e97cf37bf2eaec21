//! Who may ask for what, by what a connection proved; asked before any service sees a call, and closed to whatever it
//! does not know.
//!
//! | service | with TLS | without TLS |
//! |---|---|---|
//! | `Raft` | a certificate; `raft` itself asks whose | everybody |
//! | `Session` | a certificate; `session` itself asks whose | everybody |
//! | `Admin`, reflection | any certificate of the CA, or the token | the token, where one is set |
//! | health | everybody | everybody |
//!
//! A call that another coordinator passed on comes over that coordinator's own connection and is judged by it: only
//! operators' calls are passed on, and only after this gate. An agent's call is bound to the machine that sent it, so
//! a coordinator that passed one on would be refused.

use interrex_api::refused::Refused;
use interrex_api::serve::AUTHORIZATION;
use interrex_cluster::ids::MachineName;
use interrex_tls::{Peer, Proof, Token};
use std::sync::Arc;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

/// Whom a service is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// The other coordinators.
    Members,
    /// Agents.
    Agents,
    /// Operators and their tools.
    Operators,
    /// Whoever asks.
    Anybody,
}

/// The gate of one coordinator.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) machine: MachineName,
    /// TLS is on.
    pub(crate) guarded: bool,
    pub(crate) token: Option<Token>,
}

impl Gate {
    /// The gate as the server of one service asks it.
    pub(crate) fn at(
        self: &Arc<Self>,
        door: Door,
    ) -> impl FnMut(Request<()>) -> Result<Request<()>, Status> + Clone + use<> {
        let gate = self.clone();
        move |request| {
            let proof = request.extensions().get::<Peer>().map(|peer| &peer.proof);
            gate.judge(door, proof, request.metadata())?;
            Ok(request)
        }
    }

    fn judge(&self, door: Door, proof: Option<&Proof>, shown: &MetadataMap) -> Result<(), Refused> {
        let machine = &self.machine;
        if door == Door::Anybody {
            return Ok(());
        }
        if !self.guarded {
            let asks = door == Door::Operators && self.token.is_some();
            return if asks { self.by_token(shown) } else { Ok(()) };
        }
        match proof {
            Some(Proof::Certificate(_)) => Ok(()),
            Some(Proof::Nobody) if door == Door::Operators => self.by_token(shown),
            Some(Proof::Nobody) => Err(Refused::Forbidden(format!(
                "{machine} takes this only from a machine with a certificate: write [tls] into its node file"
            ))),
            Some(Proof::Plain) => Err(Refused::Forbidden(format!(
                "{machine} speaks TLS and was called in plain text: give --tls-ca with --tls-cert and --tls-key or with \
                 --token-file; in a node file, [tls]"
            ))),
            // A connection that nothing is known of is none of this server's.
            Some(Proof::Open) | None => {
                Err(Refused::Forbidden(format!("{machine} does not know who asks this")))
            }
        }
    }

    fn by_token(&self, shown: &MetadataMap) -> Result<(), Refused> {
        let machine = &self.machine;
        let forbidden = |why: String| Err(Refused::Forbidden(why));
        match (&self.token, shown.get(AUTHORIZATION)) {
            (None, _) => forbidden(format!(
                "{machine} takes this only with a certificate, as its node file sets no coordinator.admin_token_file: \
                 give --tls-cert and --tls-key"
            )),
            (Some(_), None) if self.guarded => forbidden(format!(
                "{machine} was shown neither a certificate nor a token: give --tls-cert and --tls-key, or --token-file"
            )),
            (Some(_), None) => forbidden(format!(
                "{machine} was shown no token: give --token-file, or set INTERREX_TOKEN_FILE"
            )),
            (Some(token), Some(shown)) => match shown.to_str().is_ok_and(|shown| token.is_shown_by(shown)) {
                true => Ok(()),
                false => forbidden(format!(
                    "the token shown is not {machine}'s: give the one of coordinator.admin_token_file there"
                )),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use interrex_tls::Names;

    #[test]
    fn who_proved_what_gets_through_which_door_and_what_is_not_known_gets_through_none() {
        use Door::{Agents, Anybody, Members, Operators};
        let certificate = Proof::Certificate(Arc::new(Names::default()));
        let proofs = [None, Some(Proof::Open), Some(Proof::Plain), Some(Proof::Nobody), Some(certificate)];
        let opens = |guarded| {
            let gate = Gate { machine: "n1".parse().unwrap(), guarded, token: None };
            [Members, Agents, Operators, Anybody].map(|door| {
                let through =
                    |proof: &Option<Proof>| gate.judge(door, proof.as_ref(), &MetadataMap::new()).is_ok();
                proofs.iter().map(through).collect::<Vec<_>>()
            })
        };
        let with_a_certificate = vec![false, false, false, false, true];
        assert_eq!(opens(true)[..3], [(); 3].map(|()| with_a_certificate.clone()));
        assert!(opens(true)[3].iter().all(|through| *through));
        assert!(
            opens(false).iter().flatten().all(|through| *through),
            "without TLS and token nobody is asked"
        );
    }
}
