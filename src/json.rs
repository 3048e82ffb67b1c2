//! Data as JSON, by PHP's own encoder: `JsonSerializable`, enums, `serialize_precision` and errors are those of
//! `json_encode()`.

use ext_php_rs::exception::PhpException;
use ext_php_rs::prelude::PhpResult;
use ext_php_rs::types::Zval;
use ext_php_rs::zend::ce;
use serde_json::value::RawValue;

use crate::zend;

/// `JSON_THROW_ON_ERROR`, and `JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE`, which make the same value shorter.
const FLAGS: i64 = 1 << 22 | 1 << 6 | 1 << 8;

/// `JSON_THROW_ON_ERROR`
const THROW: i64 = 1 << 22;
/// Deeper than the server allows data to be.
const MAX_DEPTH: i64 = 1_024;

/// JSON that is still PHP's string.
pub(crate) struct Json(Zval);

impl Json {
    pub(crate) fn as_str(&self) -> &str {
        self.0.str().unwrap_or_default()
    }

    /// The same, as a part of other JSON.
    pub(crate) fn as_raw(&self) -> PhpResult<&RawValue> {
        serde_json::from_str(self.as_str())
            .map_err(|error| PhpException::new(format!("json_encode() made no JSON: {error}"), 0, ce::error()))
    }
}

/// Encodes a value. May run any code of the application.
pub(crate) fn encode(value: &Zval) -> PhpResult<Json> {
    let mut flags = Zval::new();
    flags.set_long(FLAGS);
    zend::call("json_encode", [value.shallow_clone(), flags]).map(Json)
}

/// Decodes what the server has sent, objects to arrays.
pub(crate) fn decode(text: &str) -> PhpResult<Zval> {
    let [mut json, mut associative, mut depth, mut flags] = [const { Zval::new() }; 4];
    json.set_string(text, false)?;
    associative.set_bool(true);
    depth.set_long(MAX_DEPTH);
    flags.set_long(THROW);
    zend::call("json_decode", [json, associative, depth, flags])
}
