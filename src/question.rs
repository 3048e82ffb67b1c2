//! Questions to the server: what their arguments mean, and what their answers are in PHP.

use ext_php_rs::boxed::ZBox;
use ext_php_rs::prelude::PhpResult;
use ext_php_rs::types::{ZendHashTable, Zval};
use realtime_publisher as core;

use crate::argument::TextOr;
use crate::{json, zend};

/// `$since`
pub(crate) enum Since<'a> {
    Newest,
    Earliest,
    After { epoch: &'a str, offset: u64 },
}

impl Since<'_> {
    pub(crate) fn as_core(&self) -> Option<core::Since<'_>> {
        match *self {
            Self::Newest => None,
            Self::Earliest => Some(core::Since::Earliest),
            Self::After { epoch, offset } => Some(core::Since::After { epoch, offset }),
        }
    }
}

/// Reads `$since`: a position as `position()` returns it, or `"earliest"`.
pub(crate) fn since(argument: Option<TextOr<'_>>, number: u32) -> PhpResult<Since<'_>> {
    let since = match argument {
        None => Some(Since::Newest),
        Some(TextOr::Text(text)) => (text == "earliest").then_some(Since::Earliest),
        Some(TextOr::Array(array)) => position_in(array),
    };
    since.ok_or_else(|| {
        zend::value_error(number, "must be \"earliest\" or an array with the string \"epoch\" and the int \"offset\"")
    })
}

fn position_in(array: &Zval) -> Option<Since<'_>> {
    let table = array.array()?;
    let epoch = table.get("epoch")?.dereference().str()?;
    let offset = table.get("offset")?.dereference().long()?;
    Some(Since::After { epoch, offset: u64::try_from(offset).ok()? })
}

/// Reads `$limit`.
pub(crate) fn limit(limit: i64, number: u32) -> PhpResult<u64> {
    match u64::try_from(limit) {
        Ok(limit @ 1..) => Ok(limit),
        _ => Err(zend::value_error(number, "must be greater than 0")),
    }
}

/// A history without what only the protocol needs. `next` is null at the end.
pub(crate) fn history(reply: &str) -> PhpResult<ZBox<ZendHashTable>> {
    let mut table = decoded(reply)?;
    for name in ["type", "id"] {
        table.remove(name);
    }
    if table.get("next").is_none() {
        table.insert("next", Zval::null())?;
    }
    Ok(table)
}

/// What JSON stands for, of which the core knows that it is an object or an array.
pub(crate) fn decoded(json: &str) -> PhpResult<ZBox<ZendHashTable>> {
    let value = json::decode(json)?;
    Ok(value.array().map_or_else(ZendHashTable::new, ToOwned::to_owned))
}

/// A position as an array.
pub(crate) fn position(position: core::Position) -> PhpResult<ZBox<ZendHashTable>> {
    let mut table = ZendHashTable::with_capacity(2);
    table.insert("epoch", position.epoch)?;
    table.insert("offset", position.offset)?;
    Ok(table)
}

/// The numbers of subscribers, by channel.
pub(crate) fn channels(channels: Vec<(String, u64)>) -> PhpResult<ZBox<ZendHashTable>> {
    let mut table = ZendHashTable::with_capacity(u32::try_from(channels.len()).unwrap_or(0));
    for (name, subscribers) in channels {
        table.insert(name, subscribers)?;
    }
    Ok(table)
}
