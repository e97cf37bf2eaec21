//! A cable with a loose contact: the primary's machine is off the network and on it again, over and over. However often, it
//! has failed once at most: it comes and goes as a standby then, which moves nobody.

use std::time::Duration;

use anyhow::Context;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::{Deed, Fault, Proof};
use crate::catalogue::{Lasts, Row};
use crate::ground::Network;
use crate::scene::Scene;

pub(crate) const ROW: Row = Row {
    name: "flapping-link",
    story: "the link of the primary's machine goes down for 0.3 s and comes up for 0.9 s, over and over",
    // TCP waits longer with each loss: 0.3 s without a link become a second without a word, from which on peers are believed.
    promotions: (0, 1),
    gap_ms: 6_000,
    lasts: Lasts::Ms(8_000, 10_000),
    side_door: false,
    nft: false,
    machines: 3,
    volumes: false,
    make: || Flapping::boxed(Duration::from_millis(300), Duration::from_millis(900), 5),
};

pub(crate) const SLOWLY: Row = Row {
    name: "flapping-link-slowly",
    story: "the same for 5 s and 4 s, three times: a failover, and then a standby that comes and goes",
    promotions: (1, 1),
    gap_ms: 10_000,
    lasts: Lasts::Ms(20_000, 22_000),
    make: || Flapping::boxed(Duration::from_secs(5), Duration::from_secs(4), 3),
    ..ROW
};

struct Flapping {
    down: Duration,
    up: Duration,
    /// With fewer than so many it was another fault.
    least: u32,
    under_way: Option<(oneshot::Sender<()>, JoinHandle<anyhow::Result<u32>>)>,
}

impl Flapping {
    fn boxed(down: Duration, up: Duration, least: u32) -> Box<dyn Fault> {
        Box::new(Flapping { down, up, least, under_way: None })
    }
}

impl Fault for Flapping {
    fn inject<'a>(&'a mut self, scene: &'a mut Scene) -> Deed<'a> {
        Box::pin(async move {
            let (enough, stop) = oneshot::channel();
            let (network, machine) = (scene.network.clone(), scene.primary.clone());
            let flapping = flap(network, machine, self.down, self.up, stop);
            self.under_way = Some((enough, tokio::spawn(flapping)));
            Ok(())
        })
    }

    fn proof<'a>(&'a mut self, _: &'a mut Scene) -> Deed<'a, Proof> {
        Box::pin(async move {
            let (enough, flapping) = self.under_way.take().context("the link never flapped")?;
            // It ends by itself only with an error, which is told next.
            let _ = enough.send(());
            let flaps = flapping.await.context("wait for the link to stay up")??;
            Ok(if flaps >= self.least {
                Ok(format!("the kernel said {flaps} times that the link was down, and then that it was up"))
            } else {
                Err(format!("the link went down and up {flaps} times, and has to {} times", self.least))
            })
        })
    }
}

/// Goes on until it is told to stop, and ends with the link up. How often the kernel said that it was down, and then up.
async fn flap(
    network: Network,
    machine: String,
    down: Duration,
    up: Duration,
    mut stop: oneshot::Receiver<()>,
) -> anyhow::Result<u32> {
    let mut flaps = 0;
    loop {
        network.set_link(&machine, false)?;
        let was_down = !network.link_is_up(&machine)?;
        sleep(down).await;
        network.set_link(&machine, true)?;
        if was_down && network.link_is_up(&machine)? {
            flaps += 1;
        }
        if timeout(up, &mut stop).await.is_ok() {
            return Ok(flaps);
        }
    }
}
