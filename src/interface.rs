//! `RealtimePublisher`: what applications type-hint, and replace in their tests.

use ext_php_rs::args::Arg;
use ext_php_rs::builders::{ClassBuilder, FunctionBuilder};
use ext_php_rs::class::ClassEntryInfo;
use ext_php_rs::convert::IntoZval;
use ext_php_rs::error::Result;
use ext_php_rs::flags::{ClassFlags, DataType, MethodFlags};

use crate::argument::{Array, Mixed, OptionalText, Text, TextOrArray};
use crate::class::Class;
use crate::receipt::Receipt;
use crate::reflection;

static CLASS: Class = Class::new();

/// The interface, for the class that implements it.
pub(crate) const REALTIME_PUBLISHER: ClassEntryInfo = (|| CLASS.entry(), "\\RealtimePublisher");

/// Registers the interface. Once per MINIT, before the classes that implement it.
pub(crate) fn register() -> Result<()> {
    let broadcast = publishing("broadcast", Arg::of::<TextOrArray>("channel"), true);
    let to_user = publishing("sendToUser", Arg::of::<Text>("user"), true);
    let to_connection = publishing("sendToConnection", Arg::of::<Text>("connection"), false);
    let array = |name| FunctionBuilder::new_abstract(name).returns(DataType::Array, false, false);
    let batch = array("batch").arg(Arg::of::<Array>("items")).required_args(1);
    let discard = FunctionBuilder::new_abstract("discard").returns(DataType::Long, false, false);
    [broadcast, to_user, to_connection, batch, array("flush"), discard]
        .into_iter()
        .fold(ClassBuilder::new("RealtimePublisher"), |class, method| {
            class.method(method, MethodFlags::Public | MethodFlags::Abstract)
        })
        .flags(ClassFlags::Interface)
        .registration(|class, arguments| {
            reflection::array_or_string(class, "broadcast", 0);
            CLASS.set(class, arguments);
        })
        .register()
}

fn publishing(name: &str, receiver: Arg<'static>, excludes: bool) -> FunctionBuilder<'static> {
    let method = FunctionBuilder::new_abstract(name)
        .arg(receiver)
        .arg(Arg::of::<Mixed>("data"))
        .arg(Arg::of::<OptionalText>("event"));
    let method = if excludes { method.arg(Arg::of::<OptionalText>("exclude")) } else { method };
    method
        .arg(Arg::of::<OptionalText>("idempotencyKey"))
        .arg(Arg::new("confirm", DataType::String).default("'ack'"))
        .required_args(2)
        .returns(Receipt::TYPE, false, false)
}
