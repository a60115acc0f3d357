//! Values that the scripts of a VM can read.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::value::Value;

/// The values of a VM, by name. They are shared with its isolate, and copied when one of them changes there.
pub(crate) type Published = Arc<BTreeMap<Box<str>, Arc<Value>>>;
