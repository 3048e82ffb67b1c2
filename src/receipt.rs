//! `RealtimeReceipt`: what a broadcast returns.
#![allow(unsafe_code, reason = "class entries are pointers, and the engine reads a constructor's arguments")]

use std::panic::AssertUnwindSafe;
use std::ptr;

use ext_php_rs::args::Arg;
use ext_php_rs::boxed::ZBox;
use ext_php_rs::builders::{ClassBuilder, FunctionBuilder};
use ext_php_rs::convert::IntoZval;
use ext_php_rs::error::Result;
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
        Self::of(receipt.receivers, &receipt.channels)
    }

    /// The part of it that is about some channels.
    pub(crate) fn of(receivers: u64, channels: &[(String, ChannelReceipt)]) -> Result<Self> {
        let mut table = ZendHashTable::with_capacity(u32::try_from(channels.len()).unwrap_or(0));
        for (name, receipt) in channels {
            let mut entry = ZendHashTable::with_capacity(3);
            entry.insert("receivers", receipt.receivers)?;
            entry.insert("epoch", receipt.epoch.as_deref())?;
            entry.insert("offset", receipt.offset)?;
            table.insert(name.as_str(), entry)?;
        }
        let mut object = ZendObject::new(CLASS.entry());
        let receivers = i64::try_from(receivers).unwrap_or(i64::MAX);
        fill(&mut object, true, receivers, &mut table.into_zval(false)?)?;
        Ok(Self(object))
    }
}

fn fill(object: &mut ZendObject, acknowledged: bool, receivers: i64, channels: &mut Zval) -> Result<()> {
    zend::set_property(CLASS.entry(), object, "acknowledged", &mut acknowledged.into_zval(false)?);
    zend::set_property(CLASS.entry(), object, "receivers", &mut receivers.into_zval(false)?);
    zend::set_property(CLASS.entry(), object, "channels", channels);
    Ok(())
}

zend_fastcall! {
    /// Public, so that applications can make receipts in their tests.
    extern fn construct(frame: &mut ExecuteData, _: &mut Zval) {
        run_handler(AssertUnwindSafe(|| {
            let (mut acknowledged, mut receivers) = (true, 0_i64);
            let mut channels: *mut Zval = ptr::null_mut();
            // SAFETY: `b`, `l` and `a` take a `bool *`, a `zend_long *` and a `zval **`.
            let parsed = unsafe {
                zend::zend_parse_parameters(
                    frame.This.u2.num_args,
                    c"|bla".as_ptr(),
                    &raw mut acknowledged,
                    &raw mut receivers,
                    &raw mut channels,
                )
            };
            let Some(object) = frame.get_self().filter(|_| parsed == 0) else { return };
            let mut empty = Zval::new();
            empty.set_hashtable(ZendHashTable::new());
            // SAFETY: the engine points it at the argument, which the frame keeps.
            let channels = unsafe { channels.as_mut() }.unwrap_or(&mut empty);
            if let Err(error) = fill(object, acknowledged, receivers, channels) {
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
        .required_args(0);
    ClassBuilder::new(NAME)
        .flags(ClassFlags::Final | ClassFlags::NoDynamicProperties)
        .method(constructor, MethodFlags::Public)
        .registration(|class, arguments| {
            zend::declare_readonly(class, "acknowledged", DataType::Bool);
            zend::declare_readonly(class, "receivers", DataType::Long);
            zend::declare_readonly(class, "channels", DataType::Array);
            CLASS.set(class, arguments);
        })
        .register()
}
