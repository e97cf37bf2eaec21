//! Whether the agent's own server lets anybody new in. Sessions outlive a postmaster that hangs: over the agent's, all is
//! well, while every client that connects is taken by the kernel and never answered.

use crate::instance::Instance;
use crate::session::now;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Between knocks that are answered: each costs the server a process.
const EVERY: Duration = Duration::from_secs(1);
/// Until the next one, where one was not.
const AGAIN_AFTER: Duration = Duration::from_millis(250);
/// An answer later than this is none.
const ANSWER_WITHIN: Duration = Duration::from_millis(1_000);

/// Knocks for ever, at a server that has answered since it was started: one that comes up need not yet.
pub(crate) async fn knock_at_home(instance: Arc<Instance>) {
    loop {
        let next = match instance.run().answered {
            None => AGAIN_AFTER,
            Some(_) => EVERY,
        };
        sleep(next).await;
        while instance.run().answered.is_some() {
            let began = now();
            let answered = instance.server.answers_knock(ANSWER_WITHIN).await;
            if instance.run().knocked(answered, began) {
                instance.poke.notify_one();
            }
            if answered {
                break;
            }
            sleep(AGAIN_AFTER).await;
        }
    }
}
