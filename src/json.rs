//! Data as JSON, by PHP's own encoder: `JsonSerializable`, enums, `serialize_precision` and errors are those of
//! `json_encode()`.

use ext_php_rs::prelude::PhpResult;
use ext_php_rs::types::Zval;

use crate::zend;

/// `JSON_THROW_ON_ERROR`, and `JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE`, which make the same value shorter.
const FLAGS: i64 = 1 << 22 | 1 << 6 | 1 << 8;

/// JSON that is still PHP's string.
pub(crate) struct Json(Zval);

impl Json {
    pub(crate) fn as_str(&self) -> &str {
        self.0.str().unwrap_or_default()
    }
}

/// Encodes a value. May run any code of the application.
pub(crate) fn encode(value: &Zval) -> PhpResult<Json> {
    zend::call("json_encode", (value, FLAGS)).map(Json)
}
