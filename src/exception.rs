//! The exceptions. They are ordinary classes of the engine, so that traces, `getPrevious()` and subclasses work.
#![allow(unsafe_code, reason = "the engine reads a constructor's arguments")]

use std::panic::AssertUnwindSafe;
use std::ptr;

use ext_php_rs::args::Arg;
use ext_php_rs::boxed::ZBox;
use ext_php_rs::builders::{ClassBuilder, FunctionBuilder};
use ext_php_rs::class::ClassEntryInfo;
use ext_php_rs::convert::IntoZval;
use ext_php_rs::error::Result;
use ext_php_rs::exception::PhpException;
use ext_php_rs::ffi::zend_string;
use ext_php_rs::flags::{DataType, MethodFlags};
use ext_php_rs::prelude::PhpResult;
use ext_php_rs::types::{ZendHashTable, ZendObject, Zval};
use ext_php_rs::zend::{ClassEntry, ExecuteData, ce, run_handler};
use ext_php_rs::zend_fastcall;
use realtime_publisher::{ChannelOutcome, Error, Outcome, Rejection};

use crate::class::Class;
use crate::receipt::Receipt;
use crate::zend;

static REALTIME: Class = Class::new();
static CONNECTION: Class = Class::new();
static TIMEOUT: Class = Class::new();
static AUTH: Class = Class::new();
static SERVER: Class = Class::new();

const EXCEPTION: ClassEntryInfo = (ce::exception, "\\Exception");
const REALTIME_EXCEPTION: ClassEntryInfo = (|| REALTIME.entry(), "\\RealtimeException");

/// The exception for a failed call.
pub(crate) fn of(error: Error) -> PhpException {
    let class = class_of(&error);
    let code = match error {
        Error::Refused { status, .. } => i32::from(status),
        _ => 0,
    };
    let message = error.to_string();
    let has_more = error.key().is_some() || matches!(error, Error::Rejected(_) | Error::Partly { .. });
    if !has_more {
        return PhpException::new(message, code, class);
    }
    match object_of(error) {
        Ok(object) => PhpException::new(message, code, class).with_object(object),
        Err(error) => error.into(),
    }
}

/// The exception for a failed call, as an object that is not thrown.
pub(crate) fn object_of(error: Error) -> Result<Zval> {
    let (message, key, class) = (error.to_string(), error.key().map(str::to_owned), class_of(&error));
    let mut object = match error {
        Error::Rejected(rejection) => {
            server_object(&message, &rejection.code, &mut ZendHashTable::new().into_zval(false)?)?
        }
        Error::Partly { outcomes, .. } => {
            let first = outcomes.iter().find_map(|(_, outcome)| outcome.as_ref().err());
            let code = first.map_or_else(String::new, |rejection| rejection.code.clone());
            server_object(
                &message,
                &code,
                &mut results(outcomes, key.as_deref().unwrap_or_default())?.into_zval(false)?,
            )?
        }
        _ => {
            let mut object = ZendObject::new(class);
            zend::set_property(ce::exception(), &mut object, "message", &mut message.into_zval(false)?);
            object.into_zval(false)?
        }
    };
    if let (Some(key), Some(object)) = (key, object.object_mut()) {
        zend::set_property(REALTIME.entry(), object, "idempotencyKey", &mut key.into_zval(false)?);
    }
    Ok(object)
}

/// A receipt or an exception for each outcome.
pub(crate) fn outcomes(outcomes: Vec<Outcome>) -> PhpResult<ZBox<ZendHashTable>> {
    let mut table = ZendHashTable::with_capacity(u32::try_from(outcomes.len()).unwrap_or(0));
    for outcome in outcomes {
        match outcome {
            Ok(receipt) => table.push(Receipt::new(&receipt)?)?,
            Err(error) => table.push(object_of(error)?)?,
        }
    }
    Ok(table)
}

fn class_of(error: &Error) -> &'static ClassEntry {
    match error {
        Error::Connect { .. } | Error::Paused { .. } | Error::Broken { .. } => CONNECTION.entry(),
        Error::Timeout { .. } | Error::Full { .. } => TIMEOUT.entry(),
        Error::Refused { .. } => AUTH.entry(),
        Error::TooMuchDeferred(_) => REALTIME.entry(),
        Error::Rejected(_) | Error::Partly { .. } => SERVER.entry(),
    }
}

fn server_object(message: &str, code: &str, results: &mut Zval) -> Result<Zval> {
    let mut object = ZendObject::new(SERVER.entry());
    zend::set_property(ce::exception(), &mut object, "message", &mut message.into_zval(false)?);
    fill(&mut object, &mut code.into_zval(false)?, results);
    object.into_zval(false)
}

fn fill(object: &mut ZendObject, code: &mut Zval, results: &mut Zval) {
    zend::set_property(SERVER.entry(), object, "serverCode", code);
    zend::set_property(SERVER.entry(), object, "results", results);
}

/// By channel, a receipt or the exception that a broadcast to this channel alone would have thrown.
fn results(outcomes: Vec<(String, ChannelOutcome)>, key: &str) -> Result<ZBox<ZendHashTable>> {
    let mut table = ZendHashTable::with_capacity(u32::try_from(outcomes.len()).unwrap_or(0));
    for (name, outcome) in outcomes {
        match outcome {
            Ok(receipt) => {
                let receivers = receipt.receivers;
                table.insert(name.clone(), Receipt::of(receivers, &[(name, receipt)], key)?)?;
            }
            Err(rejection) => {
                let Rejection { code, .. } = &rejection;
                let mut none = ZendHashTable::new().into_zval(false)?;
                table.insert(name, server_object(&rejection.to_string(), code, &mut none)?)?;
            }
        }
    }
    Ok(table)
}

zend_fastcall! {
    /// Public, so that applications can throw it in their tests.
    extern fn construct_server(frame: &mut ExecuteData, _: &mut Zval) {
        run_handler(AssertUnwindSafe(|| {
            let (mut message, mut code): (*mut zend_string, *mut zend_string) = (ptr::null_mut(), ptr::null_mut());
            let mut number = 0_i64;
            let (mut previous, mut results): (*mut Zval, *mut Zval) = (ptr::null_mut(), ptr::null_mut());
            // SAFETY: `S`, `l`, `O` and `a` take a `zend_string **`, a `zend_long *`, a `zval **` with a class, and a
            // `zval **`.
            let parsed = unsafe {
                zend::zend_parse_parameters(
                    frame.This.u2.num_args,
                    c"|SlO!Sa".as_ptr(),
                    &raw mut message,
                    &raw mut number,
                    &raw mut previous,
                    ptr::from_ref(ce::throwable()),
                    &raw mut code,
                    &raw mut results,
                )
            };
            let Some(object) = frame.get_self().filter(|_| parsed == 0) else { return };
            // SAFETY: the engine points all of them at arguments, which the frame keeps.
            let (message, code, previous, results) =
                unsafe { (message.as_ref(), code.as_ref(), previous.as_mut(), results.as_mut()) };
            let string = |string: Option<&zend_string>| {
                let mut zval = Zval::new();
                zval.set_binary(string.map_or(&[][..], |string| string.as_bytes()).to_vec());
                zval
            };
            let base = ce::exception();
            zend::set_property(base, object, "message", &mut string(message));
            let mut long = Zval::new();
            long.set_long(number);
            zend::set_property(base, object, "code", &mut long);
            if let Some(previous) = previous {
                zend::set_property(base, object, "previous", previous);
            }
            let mut empty = Zval::new();
            empty.set_hashtable(ZendHashTable::new());
            fill(object, &mut string(code), results.unwrap_or(&mut empty));
        }));
    }
}

/// Registers the classes, parents first. Once per MINIT.
pub(crate) fn register() -> Result<()> {
    ClassBuilder::new("RealtimeException")
        .extends(EXCEPTION)
        .registration(|class, arguments| {
            zend::declare_optional_text(class, "idempotencyKey");
            REALTIME.set(class, arguments);
        })
        .register()?;
    ClassBuilder::new("RealtimeConnectionException")
        .extends(REALTIME_EXCEPTION)
        .registration(|class, arguments| CONNECTION.set(class, arguments))
        .register()?;
    ClassBuilder::new("RealtimeTimeoutException")
        .extends(REALTIME_EXCEPTION)
        .registration(|class, arguments| TIMEOUT.set(class, arguments))
        .register()?;
    ClassBuilder::new("RealtimeAuthException")
        .extends(REALTIME_EXCEPTION)
        .registration(|class, arguments| AUTH.set(class, arguments))
        .register()?;
    let constructor = FunctionBuilder::new("__construct", construct_server)
        .arg(Arg::new("message", DataType::String).default("\"\""))
        .arg(Arg::new("code", DataType::Long).default("0"))
        .arg(Arg::new("previous", DataType::object("Throwable")).allow_null().default("null"))
        .arg(Arg::new("serverCode", DataType::String).default("\"\""))
        .arg(Arg::new("results", DataType::Array).default("[]"))
        .required_args(0);
    ClassBuilder::new("RealtimeServerException")
        .extends(REALTIME_EXCEPTION)
        .method(constructor, MethodFlags::Public)
        .registration(|class, arguments| {
            zend::declare_readonly(class, "serverCode", DataType::String);
            zend::declare_readonly(class, "results", DataType::Array);
            SERVER.set(class, arguments);
        })
        .register()
}
