//! Waiting for a condition: asked every few milliseconds, up to a deadline that says what was waited for.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Short against everything that is measured, long against the cost of asking.
const PAUSE: Duration = Duration::from_millis(30);

/// A deadline with a name.
pub struct Patience {
    what: String,
    limit: Duration,
    until: Instant,
}

impl Patience {
    /// Runs from now. `what` completes the sentence "waited 30 s for …".
    pub fn new(what: impl Into<String>, limit: Duration) -> Patience {
        Patience { what: what.into(), limit, until: Instant::now() + limit }
    }

    /// Returns when it is time to ask again.
    ///
    /// # Errors
    /// The deadline has passed; `last` is what was seen last, empty when nothing was.
    pub async fn pause(&self, last: &str) -> anyhow::Result<()> {
        if Instant::now() >= self.until {
            let seen = if last.is_empty() { String::new() } else { format!("; seen last: {last}") };
            anyhow::bail!("waited {} s for {} in vain{seen}", self.limit.as_secs(), self.what);
        }
        sleep(PAUSE).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waiting_in_vain_says_for_what_and_what_was_seen() {
        let patience = Patience::new("n1 to stream", Duration::ZERO);
        let error = patience.pause("n1 is down").await.unwrap_err().to_string();
        assert_eq!(error, "waited 0 s for n1 to stream in vain; seen last: n1 is down");
        assert!(Patience::new("", Duration::from_secs(60)).pause("").await.is_ok());
    }
}
