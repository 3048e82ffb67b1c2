//! `RealtimePublisher`: what applications type-hint, and replace in their tests.

use ext_php_rs::args::Arg;
use ext_php_rs::builders::{ClassBuilder, FunctionBuilder};
use ext_php_rs::class::ClassEntryInfo;
use ext_php_rs::convert::IntoZval;
use ext_php_rs::error::Result;
use ext_php_rs::flags::{ClassFlags, MethodFlags};

use crate::argument::{Mixed, OptionalText, Text, TextOrArray};
use crate::class::Class;
use crate::receipt::Receipt;
use crate::reflection;

static CLASS: Class = Class::new();

/// The interface, for the class that implements it.
pub(crate) const REALTIME_PUBLISHER: ClassEntryInfo = (|| CLASS.entry(), "\\RealtimePublisher");

/// Registers the interface. Once per MINIT, before the classes that implement it.
pub(crate) fn register() -> Result<()> {
    let broadcast = method("broadcast", Arg::of::<TextOrArray>("channel")).arg(Arg::of::<OptionalText>("exclude"));
    let to_user = method("sendToUser", Arg::of::<Text>("user")).arg(Arg::of::<OptionalText>("exclude"));
    let to_connection = method("sendToConnection", Arg::of::<Text>("connection"));
    [broadcast, to_user, to_connection]
        .into_iter()
        .fold(ClassBuilder::new("RealtimePublisher"), |class, method| {
            class.method(method.required_args(2), MethodFlags::Public | MethodFlags::Abstract)
        })
        .flags(ClassFlags::Interface)
        .registration(|class, arguments| {
            reflection::array_or_string(class, "broadcast", 0);
            CLASS.set(class, arguments);
        })
        .register()
}

fn method(name: &str, receiver: Arg<'static>) -> FunctionBuilder<'static> {
    FunctionBuilder::new_abstract(name)
        .arg(receiver)
        .arg(Arg::of::<Mixed>("data"))
        .arg(Arg::of::<OptionalText>("event"))
        .returns(Receipt::TYPE, false, false)
}
