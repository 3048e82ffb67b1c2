//! What is counted.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use tokio::sync::Notify;

/// How long the last publications may take to arrive.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// Counts of all clients.
pub(crate) struct Tally {
    /// The number of the last publication in each channel.
    published: RefCell<Vec<u64>>,
    /// Good clients that have everything up to here, by channel.
    seen: RefCell<Vec<Vec<u64>>>,
    pub(crate) deliveries: Cell<u64>,
    pub(crate) lost: Cell<u64>,
    pub(crate) repeated: Cell<u64>,
    /// Why good clients were disconnected, and how often.
    disconnected: RefCell<BTreeMap<String, u64>>,
    /// What hostile clients did, how often, and how often the server ended it.
    attacks: RefCell<BTreeMap<&'static str, (u64, u64)>>,
    /// How often a forged token was taken.
    breaches: Cell<u64>,
    /// How often good clients said who they are, at first and for a token that ran out.
    authenticated: Cell<u64>,
    subscribed: Cell<usize>,
    stopped: Cell<bool>,
    changed: Notify,
}

impl Tally {
    pub(crate) fn new(channels: usize) -> Self {
        Self {
            published: RefCell::new(vec![0; channels]),
            seen: RefCell::new(vec![Vec::new(); channels]),
            deliveries: Cell::new(0),
            lost: Cell::new(0),
            repeated: Cell::new(0),
            disconnected: RefCell::default(),
            attacks: RefCell::default(),
            breaches: Cell::new(0),
            authenticated: Cell::new(0),
            subscribed: Cell::new(0),
            stopped: Cell::new(false),
            changed: Notify::new(),
        }
    }

    /// A good client is subscribed; its number in the channel.
    pub(crate) fn enter(&self, channel: usize) -> usize {
        self.subscribed.set(self.subscribed.get() + 1);
        self.changed.notify_waiters();
        let clients = &mut self.seen.borrow_mut()[channel];
        clients.push(0);
        clients.len() - 1
    }

    /// A good client got the publication with this number.
    pub(crate) fn see(&self, channel: usize, client: usize, number: u64) {
        self.deliveries.set(self.deliveries.get() + 1);
        let seen = &mut self.seen.borrow_mut()[channel][client];
        if number <= *seen {
            self.repeated.set(self.repeated.get() + 1);
            return;
        }
        self.lost.set(self.lost.get() + (number - *seen - 1));
        *seen = number;
        self.changed.notify_waiters();
    }

    pub(crate) fn publish(&self, channel: usize, number: u64) {
        self.published.borrow_mut()[channel] = number;
    }

    pub(crate) fn authenticate(&self) {
        self.authenticated.set(self.authenticated.get() + 1);
    }

    pub(crate) fn breach(&self) {
        self.breaches.set(self.breaches.get() + 1);
    }

    pub(crate) fn disconnect(&self, why: &str) {
        *self.disconnected.borrow_mut().entry(why.to_owned()).or_default() += 1;
    }

    pub(crate) fn attack(&self, kind: &'static str, was_ended: bool) {
        let mut attacks = self.attacks.borrow_mut();
        let (attempts, ended) = attacks.entry(kind).or_default();
        *attempts += 1;
        *ended += u64::from(was_ended);
    }

    pub(crate) fn stop(&self) {
        self.stopped.set(true);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.get()
    }

    pub(crate) async fn until_subscribed(&self, clients: usize) {
        while self.subscribed.get() < clients {
            self.changed.notified().await;
        }
    }

    /// Publications that good clients have not got.
    fn missing(&self) -> u64 {
        let published = self.published.borrow();
        let seen = self.seen.borrow();
        seen.iter().zip(published.iter()).flat_map(|(clients, last)| clients.iter().map(move |seen| last - seen)).sum()
    }

    /// Waits until all publications have arrived, or for a minute.
    pub(crate) async fn until_complete(&self) {
        let complete = async {
            while self.missing() > 0 {
                self.changed.notified().await;
            }
        };
        // What is missing then is reported as lost.
        let _ = tokio::time::timeout(PATIENCE, complete).await;
    }

    /// One line for who waits.
    pub(crate) fn line(&self) -> String {
        let attacks: u64 = self.attacks.borrow().values().map(|(attempts, _)| attempts).sum();
        let (deliveries, lost, repeated) = (self.deliveries.get(), self.lost.get(), self.repeated.get());
        format!("{deliveries} deliveries, {lost} lost, {repeated} repeated, {attacks} attacks")
    }

    /// Says everything; whether good clients got everything, once and in order, and no hostile one got in.
    pub(crate) fn report(&self, good: usize) -> bool {
        let published: u64 = self.published.borrow().iter().sum();
        let lost = self.lost.get() + self.missing();
        println!("good clients: {good}; publications: {published}; deliveries: {}", self.deliveries.get());
        println!("lost: {lost}; repeated or out of order: {}", self.repeated.get());
        println!("forged tokens that were taken: {}", self.breaches.get());
        println!("tokens shown by good clients, at first and again: {}", self.authenticated.get());
        for (why, times) in &*self.disconnected.borrow() {
            println!("  disconnected, and recovered: {times} times: {why}");
        }
        for (kind, (attempts, ended)) in &*self.attacks.borrow() {
            println!("  hostile: {kind}: {attempts} times, ended by the server {ended} times");
        }
        lost == 0 && self.repeated.get() == 0 && self.breaches.get() == 0 && published > 0
    }
}
