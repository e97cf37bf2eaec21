//! A stream that says something at least every second, so that its reader can tell silence from death.

use std::time::Duration;
use tokio::time::Instant;
use tokio_stream::{Stream, StreamExt};

/// How long a stream may be quiet before it gives a sign of life.
pub(crate) const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// `items`, with `sign()` after each second without one. Ends when `items` ends.
pub(crate) fn with_signs<T, S>(items: S, sign: fn() -> T) -> impl Stream<Item = T>
where
    S: Stream<Item = T>,
{
    let every = tokio::time::interval_at(Instant::now() + SIGN_OF_LIFE, SIGN_OF_LIFE);
    items.timeout_repeating(every).map(move |item| item.unwrap_or_else(|_elapsed| sign()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_quiet_stream_gives_a_sign_every_second_and_ends_with_its_source() {
        let (tx, rx) = tokio::sync::mpsc::channel(4);
        tokio::spawn(async move {
            tx.send("goal").await.unwrap();
            tokio::time::sleep(Duration::from_millis(2_500)).await;
            tx.send("next").await.unwrap();
        });
        let source = tokio_stream::wrappers::ReceiverStream::new(rx);
        let told: Vec<_> = with_signs(source, || "alive").collect().await;
        assert_eq!(told, ["goal", "alive", "alive", "next"]);
    }
}
