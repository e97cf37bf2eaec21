//! Whether the certificate, its key and its CA fit together and are this machine's. `interrex-tls` judges them; here
//! each fault gets the key of the node file that names the file.

use interrex_tls::{Item, Owner, Tls};

use super::Refusals;
use crate::Node;

pub(super) fn tls(node: &Node, refusals: &mut Refusals) -> Option<Tls> {
    let files = node.tls.clone()?;
    match Tls::load(files, Owner::Machine(node.name.to_string())) {
        Ok(tls) => Some(tls),
        Err(faults) => {
            for fault in faults {
                let key = match fault.item {
                    Item::Ca => "tls.ca",
                    Item::Cert => "tls.cert",
                    Item::Key => "tls.key",
                    Item::Token => "coordinator.admin_token_file",
                };
                refusals.take::<()>(key, Err(fault.to_string()));
            }
            None
        }
    }
}
