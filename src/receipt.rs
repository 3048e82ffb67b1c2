//! `RealtimeReceipt`: what a broadcast returns.
#![allow(unsafe_code, reason = "class entries are pointers, and the engine reads a constructor's arguments")]

use std::panic::AssertUnwindSafe;
use std::ptr;

use ext_php_rs::args::Arg;
use ext_php_rs::boxed::ZBox;
use ext_php_rs::builders::{ClassBuilder, FunctionBuilder};
use ext_php_rs::convert::IntoZval;
use ext_php_rs::error::Result;
use ext_php_rs::ffi::zend_string;
use ext_php_rs::flags::{ClassFlags, DataType, MethodFlags};
use ext_php_rs::types::{ZendHashTable, ZendObject, Zval};
use ext_php_rs::zend::{ExecuteData, run_handler};
use ext_php_rs::zend_fastcall;
use realtime_publisher as core;
use realtime_publisher::ChannelReceipt;

use crate::class::Class;
use crate::zend;

const NAME: &str = "RealtimeReceipt";

static CLASS: Class = Class::new();

/// A receipt on its way to PHP.
pub(crate) struct Receipt(ZBox<ZendObject>);

impl IntoZval for Receipt {
    const TYPE: DataType = DataType::object(NAME);
    const NULLABLE: bool = false;

    fn set_zval(self, zval: &mut Zval, persistent: bool) -> Result<()> {
        self.0.set_zval(zval, persistent)
    }
}

impl Receipt {
    /// The receipt of an acknowledged broadcast.
    pub(crate) fn new(receipt: &core::Receipt) -> Result<Self> {
        Self::of(receipt.receivers, &receipt.channels, &receipt.key)
    }

    /// The receipt of a broadcast whose acknowledgement nobody has waited for.
    pub(crate) fn pending(key: &str) -> Result<Self> {
        Self::make(false, 0, zend::empty_array(), key)
    }

    /// The part of it that is about some channels.
    pub(crate) fn of(receivers: u64, channels: &[(String, ChannelReceipt)], key: &str) -> Result<Self> {
        if channels.is_empty() {
            return Self::make(true, receivers, zend::empty_array(), key);
        }
        let mut table = ZendHashTable::with_capacity(u32::try_from(channels.len()).unwrap_or(0));
        for (name, receipt) in channels {
            let mut entry = ZendHashTable::with_capacity(3);
            entry.insert("receivers", receipt.receivers)?;
            entry.insert("epoch", receipt.epoch.as_deref())?;
            entry.insert("offset", receipt.offset)?;
            table.insert(name.as_str(), entry)?;
        }
        Self::make(true, receivers, table.into_zval(false)?, key)
    }

    fn make(acknowledged: bool, receivers: u64, channels: Zval, key: &str) -> Result<Self> {
        let mut object = ZendObject::new(CLASS.entry());
        let receivers = i64::try_from(receivers).unwrap_or(i64::MAX);
        let values = [acknowledged.into_zval(false)?, receivers.into_zval(false)?, channels, key.into_zval(false)?];
        for (slot, value) in values.into_iter().enumerate() {
            zend::init_property(&mut object, slot, value);
        }
        Ok(Self(object))
    }
}

fn fill(
    object: &mut ZendObject,
    acknowledged: bool,
    receivers: i64,
    channels: &mut Zval,
    key: &mut Zval,
) -> Result<()> {
    zend::set_property(CLASS.entry(), object, "acknowledged", &mut acknowledged.into_zval(false)?);
    zend::set_property(CLASS.entry(), object, "receivers", &mut receivers.into_zval(false)?);
    zend::set_property(CLASS.entry(), object, "channels", channels);
    zend::set_property(CLASS.entry(), object, "idempotencyKey", key);
    Ok(())
}

zend_fastcall! {
    /// Public, so that applications can make receipts in their tests.
    extern fn construct(frame: &mut ExecuteData, _: &mut Zval) {
        run_handler(AssertUnwindSafe(|| {
            let (mut acknowledged, mut receivers) = (true, 0_i64);
            let (mut channels, mut key): (*mut Zval, *mut zend_string) = (ptr::null_mut(), ptr::null_mut());
            // SAFETY: `b`, `l`, `a` and `S` take a `bool *`, a `zend_long *`, a `zval **` and a `zend_string **`.
            let parsed = unsafe {
                zend::zend_parse_parameters(
                    frame.This.u2.num_args,
                    c"|blaS".as_ptr(),
                    &raw mut acknowledged,
                    &raw mut receivers,
                    &raw mut channels,
                    &raw mut key,
                )
            };
            let Some(object) = frame.get_self().filter(|_| parsed == 0) else { return };
            let mut empty = Zval::new();
            empty.set_hashtable(ZendHashTable::new());
            // SAFETY: the engine points both at arguments, which the frame keeps.
            let (channels, given) = unsafe { (channels.as_mut().unwrap_or(&mut empty), key.as_ref()) };
            let mut key = Zval::new();
            key.set_binary(given.map_or(&[][..], |key| key.as_bytes()).to_vec());
            if let Err(error) = fill(object, acknowledged, receivers, channels, &mut key) {
                ext_php_rs::exception::PhpException::from(error).throw();
            }
        }));
    }
}

/// Registers the class. Once per MINIT.
pub(crate) fn register() -> Result<()> {
    let constructor = FunctionBuilder::new("__construct", construct)
        .arg(Arg::new("acknowledged", DataType::Bool).default("true"))
        .arg(Arg::new("receivers", DataType::Long).default("0"))
        .arg(Arg::new("channels", DataType::Array).default("[]"))
        .arg(Arg::new("idempotencyKey", DataType::String).default("\"\""))
        .required_args(0);
    ClassBuilder::new(NAME)
        .flags(ClassFlags::Final | ClassFlags::NoDynamicProperties)
        .method(constructor, MethodFlags::Public)
        .registration(|class, arguments| {
            // In the order in which `make` fills them.
            zend::declare_readonly(class, "acknowledged", DataType::Bool);
            zend::declare_readonly(class, "receivers", DataType::Long);
            zend::declare_readonly(class, "channels", DataType::Array);
            zend::declare_readonly(class, "idempotencyKey", DataType::String);
            CLASS.set(class, arguments);
        })
        .register()
}
