//! One hop to the leader: a coordinator that does not lead passes an operator's call on once, so that any address
//! works. The call is marked, and whoever gets a marked one answers it or refuses. It goes out under this coordinator's
//! own certificate or token, after its own gate let the operator in.

use super::belongs;
use crate::core::Core;
use interrex_api::client::{Client, ClientError, ClientOptions};
use interrex_api::refused::Refused;
use interrex_api::serve::Caller;
use interrex_api::session::LeaderHint;
use interrex_rt::Dialer;
use interrex_tls::{Tls, Token};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// For the leader to answer: longer than it takes to propose.
const HOP: Duration = Duration::from_secs(3);

/// Who answers a call that is the leader's.
pub(crate) enum Answerer {
    /// This coordinator.
    Here,
    /// The one that this client leads to.
    There(Client),
}

/// Connections to the other coordinators.
#[derive(Debug)]
pub(crate) struct Relays {
    tls: Option<Tls>,
    token: Option<Token>,
    dialer: Dialer,
    clients: Mutex<BTreeMap<String, Client>>,
}

impl Relays {
    /// Connections under these credentials, made by this dialer.
    pub(crate) fn new(tls: Option<Tls>, token: Option<Token>, dialer: Dialer) -> Self {
        Self { tls, token, dialer, clients: Mutex::default() }
    }

    /// A client to one coordinator that marks its calls as passed on.
    pub(crate) fn to(&self, leader: &LeaderHint) -> Result<Client, Refused> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&leader.address) {
            return Ok(client.clone());
        }
        let options = ClientOptions {
            call: HOP,
            overall: HOP,
            relayed: true,
            tls: self.tls.clone(),
            token: self.token.clone(),
            dialer: self.dialer.clone(),
            ..ClientOptions::default()
        };
        let at = format!("{}={}", leader.machine, leader.address);
        let client = Client::new(vec![at], options).map_err(refused)?;
        clients.insert(leader.address.clone(), client.clone());
        Ok(client)
    }

    /// Who answers.
    ///
    /// # Errors
    /// This machine is no member of a group, nobody is known to lead, or the call was passed on already.
    pub(crate) fn answerer(&self, core: &Core, caller: &Caller) -> Result<Answerer, Refused> {
        if core.reign().is_some() {
            return Ok(Answerer::Here);
        }
        belongs(core)?;
        match core.leader().filter(|leader| leader.machine != core.machine) {
            Some(leader) if !caller.relayed => self.to(&leader).map(Answerer::There),
            hint => Err(Refused::NotLeader(hint)),
        }
    }
}

/// What came of a call that was passed on, as a refusal of our own.
pub(crate) fn refused(why: ClientError) -> Refused {
    match why {
        ClientError::Refused { refused, .. } => refused,
        ClientError::NoAnswer { .. }
        | ClientError::NotNow { .. }
        | ClientError::NotMember { .. }
        | ClientError::NotFormed { .. }
        | ClientError::Insecure { .. } => Refused::Unavailable(why.to_string()),
        ClientError::OutcomeUnknown { .. } => Refused::OutcomeUnknown(why.to_string()),
        ClientError::NoAddress | ClientError::BadAddress { .. } | ClientError::BadReply { .. } => {
            Refused::Internal(why.to_string())
        }
    }
}
