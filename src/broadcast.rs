//! What a broadcast's arguments say, beside its data.

use ext_php_rs::exception::PhpException;
use ext_php_rs::prelude::PhpResult;
use ext_php_rs::types::{ZendHashTable, Zval};
use realtime_publisher::{Audience, Batch, Publication};

use crate::argument::{DefaultedText, OptionalText, TextOr, channel_names};
use crate::{PROCESS, json, zend};

/// `$channel`
pub(crate) enum Channels<'a> {
    One(&'a str),
    Several(Vec<String>),
}

impl<'a> Channels<'a> {
    pub(crate) fn read(channel: TextOr<'a>, number: u32) -> PhpResult<Self> {
        match channel {
            TextOr::Text(name) => Ok(Self::One(name)),
            TextOr::Array(array) => channel_names(array, number).map(Self::Several),
        }
    }

    pub(crate) fn with<T>(&self, then: impl FnOnce(Audience<'_>) -> T) -> T {
        match self {
            Self::One(name) => then(Audience::Channel(name)),
            Self::Several(names) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                then(Audience::Channels(&names))
            }
        }
    }
}

/// `$confirm`
#[derive(Clone, Copy)]
pub(crate) enum Confirm {
    /// Wait for the acknowledgement.
    Ack,
    /// Send now, and wait at `flush()` or at the end of the request.
    Later,
    /// Send at `flush()` or at the end of the request.
    Deferred,
}

impl Confirm {
    fn read(confirm: DefaultedText, number: u32) -> PhpResult<Self> {
        match confirm.read(number)? {
            "ack" => Ok(Self::Ack),
            "later" => Ok(Self::Later),
            "deferred" => Ok(Self::Deferred),
            _ => Err(zend::value_error(number, "must be \"ack\", \"later\" or \"deferred\"")),
        }
    }
}

/// What can be left out.
#[derive(Clone, Copy)]
pub(crate) struct Options<'a> {
    pub(crate) event: Option<&'a str>,
    pub(crate) exclude: Option<&'a str>,
    pub(crate) key: Option<&'a str>,
    pub(crate) confirm: Confirm,
}

impl<'a> Options<'a> {
    /// Each argument comes with its number.
    pub(crate) fn read(
        event: (OptionalText<'a>, u32),
        exclude: Option<(OptionalText<'a>, u32)>,
        key: (OptionalText<'a>, u32),
        confirm: (DefaultedText<'a>, u32),
    ) -> PhpResult<Self> {
        let event = event.0.read(event.1)?;
        let exclude = exclude.map_or(Ok(None), |(exclude, number)| exclude.read(number))?;
        let number = key.1;
        let key = key.0.read(number)?;
        if let Some(key) = key {
            PROCESS.get().publisher.check_key(key).map_err(|error| zend::value_error(number, &error.to_string()))?;
        }
        Ok(Self { event, exclude, key, confirm: Confirm::read(confirm.0, confirm.1)? })
    }
}

/// The argument of `batch()`, of which every item is encoded and checked before anything is sent.
pub(crate) fn batch_of(items: &ZendHashTable) -> PhpResult<Batch> {
    let mut batch = Batch::default();
    for (index, item) in items.values().enumerate() {
        // Our own reference, since encoding may run code of the application that changes what the item refers to.
        let item = item.dereference().shallow_clone();
        let Some(table) = item.array() else {
            return Err(zend::type_error(1, &format!("must have an array as item {index}"), &item));
        };
        Item { table, index }.add_to(&mut batch)?;
    }
    Ok(batch)
}

/// One item of a batch.
struct Item<'a> {
    table: &'a ZendHashTable,
    index: usize,
}

const FIELDS: [&str; 5] = ["channel", "data", "event", "exclude", "idempotencyKey"];

impl Item<'_> {
    fn add_to(&self, batch: &mut Batch) -> PhpResult<()> {
        let known = |key: &str| FIELDS.contains(&key);
        if let Some(unknown) = self.table.iter().map(|(key, _)| key.to_string()).find(|key| !known(key)) {
            return Err(
                self.error(&format!("must have only {} in", FIELDS.join(", ")), &format!(", \"{unknown}\" given"))
            );
        }
        let Some(data) = self.table.get("data") else { return Err(self.error("must have \"data\" in", "")) };
        let data = json::encode(data.dereference())?;
        // From here on no code of the application runs.
        let publisher = &PROCESS.get().publisher;
        let key = self.text("idempotencyKey")?;
        if let Some(key) = key {
            let refused = |error| self.error("must have a valid \"idempotencyKey\" in", &format!(": it {error}"));
            publisher.check_key(key).map_err(refused)?;
        }
        let channel = self.table.get("channel").map(Zval::dereference);
        let channels = match channel {
            Some(names) if names.is_array() => Channels::Several(channel_names(names, 1)?),
            _ => Channels::One(self.text("channel")?.ok_or_else(|| self.error("must have a \"channel\" in", ""))?),
        };
        let (event, exclude) = (self.text("event")?, self.text("exclude")?);
        channels.with(|audience| {
            publisher.add(batch, &Publication { audience, event, exclude, key, data: data.as_str() });
        });
        Ok(())
    }

    fn text(&self, name: &str) -> PhpResult<Option<&str>> {
        let Some(value) = self.table.get(name).map(Zval::dereference).filter(|value| !value.is_null()) else {
            return Ok(None);
        };
        match value.zend_str().map(|text| text.as_str()) {
            Some(Ok(text)) => Ok(Some(text)),
            Some(Err(_)) => Err(self.error(&format!("must have a valid UTF-8 \"{name}\" in"), "")),
            None => {
                Err(zend::type_error(1, &format!("must have a string as \"{name}\" in item {}", self.index), value))
            }
        }
    }

    fn error(&self, must: &str, detail: &str) -> PhpException {
        zend::value_error(1, &format!("{must} item {}{detail}", self.index))
    }
}
