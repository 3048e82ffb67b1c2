//! The threads of a server and what runs beside its connections: the front with its tasks, and one thread per shard.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, LocalOptions, Runtime};
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use crate::http::Listener;
use crate::hub::Hub;
use crate::shard::{Order, Shard};
use crate::tls::{Acceptor, Renewal};
use crate::{Shared, token};

/// The runtime of the front.
pub fn front_runtime() -> io::Result<Runtime> {
    // Handshakes are a small part of the work; the shards have the other cores.
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(4));
    Builder::new_multi_thread().worker_threads(threads).thread_name("front").enable_all().build()
}

/// Tells the front when its thread panics.
struct Alarm(Arc<Shared>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.crashed.notify_one();
        }
    }
}

/// Starts a shard in a thread of its own; returns once it runs.
pub fn start_shard(
    index: u16,
    shared: Arc<Shared>,
    orders: mpsc::UnboundedReceiver<Order>,
) -> io::Result<JoinHandle<()>> {
    let (ready, started) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().name(format!("shard-{index}")).spawn(move || {
        let _alarm = Alarm(shared.clone());
        match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => {
                // The starter waits for this word, so it is still there.
                let _ = ready.send(Ok(()));
                runtime.block_on(Shard::run(index, shared, orders));
            }
            Err(error) => {
                let _ = ready.send(Err(error));
            }
        }
    })?;
    started.recv().unwrap_or_else(|_| Err(io::Error::other("a shard ended before it began")))?;
    Ok(thread)
}

/// How long a stop waits for others: for requests to end, and for the answers to close frames.
pub const STOP_TIMEOUT: Duration = Duration::from_millis(2500);

/// Serves until `shutdown`, then tells everybody.
pub fn start_front(
    runtime: Runtime,
    shared: Arc<Shared>,
    listeners: Vec<Listener>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("front-main".into()).spawn(move || {
        let (stop, stopping) = watch::channel(false);
        runtime.block_on(async {
            tokio::spawn(keep_time(shared.clone()));
            tokio::spawn(token::keep_fresh(shared.clone()));
            if let Some(tls) = &shared.tls {
                tokio::spawn(keep_certificate(tls.clone()));
            }
            let accepting: Vec<_> = listeners
                .into_iter()
                .map(|listener| tokio::spawn(listener.serve(shared.clone(), stopping.clone())))
                .collect();
            tokio::select! {
                () = shutdown => info!(browsers = shared.gate.browsers(), "stopping"),
                () = shared.crashed.notified() => error!("a shard panicked; the server stops"),
            }
            shared.stopping.store(true, Ordering::Relaxed);
            // Nobody listens when accepting has ended by a panic, which `wait` reports.
            let _ = stop.send(true);
            for accepting in accepting {
                let _ = accepting.await;
            }
            for shard in &shared.shards {
                let _ = shard.send(Order::Stop);
            }
            // Requests that are begun end meanwhile: each holds a receiver.
            drop(stopping);
            let _ = tokio::time::timeout(STOP_TIMEOUT, stop.closed()).await;
        });
        // Whoever has not sent the rest by now ends with the runtime.
        runtime.shutdown_background();
    })
}

/// Lets time pass in the hub and for the limits.
async fn keep_time(shared: Arc<Shared>) {
    let mut interval = tokio::time::interval(Hub::TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        interval.tick().await;
        shared.hub.tick();
        if let Some(summary) = shared.policy.load().limits.tick(Instant::now()) {
            warn!("{summary}");
        }
    }
}

/// Looks at the files of the certificate now and then: what renews it need not tell anybody.
async fn keep_certificate(acceptor: Arc<Acceptor>) {
    const INTERVAL: Duration = Duration::from_secs(10);
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        interval.tick().await;
        match acceptor.look() {
            Renewal::Same => {}
            Renewal::Taken(warnings) => {
                info!("the certificate has changed; new connections get the new one");
                warnings.iter().for_each(|warning| warn!("{warning}"));
            }
            Renewal::Refused(error) => error!("the certificate has changed: {error}; the old one stays"),
        }
    }
}
