//! The attributes of a span that is still in memory, as the scanner has them after reading them from the wire.
//!
//! Only those that the table knows are taken. `otel_ext/wire/memory.py` writes them as a request and has that read.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::codec::Attribute;
use crate::keys::{Entry, Goal};
use crate::reader::put_varint;
use crate::table::Table;
use crate::value::{Member, Value};

const DEPTH_MAX: usize = 8; // values nested deeper are written empty
const KEY: u32 = 1 << 3 | 2;
const VALUE: u32 = 2 << 3 | 2;

fn put(out: &mut Vec<u8>, tag: u32, content: &[u8]) {
    put_varint(out, u64::from(tag));
    put_varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

fn put_fixed64(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number << 3 | 1));
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_items<'py>(out: &mut Vec<u8>, items: impl Iterator<Item = Bound<'py, PyAny>>, depth: usize) {
    let (mut array, mut value) = (Vec::new(), Vec::new());
    for item in items {
        value.clear();
        put_value(&mut value, &item, depth + 1);
        put(&mut array, KEY, &value);
    }
    put(out, 5 << 3 | 2, &array);
}

fn put_map(out: &mut Vec<u8>, map: &Bound<'_, PyDict>, depth: usize) {
    let (mut list, mut pair) = (Vec::new(), Vec::new());
    for (key, item) in map {
        let Ok(key) = key.cast_into::<PyString>() else {
            continue;
        };
        pair.clear();
        put_pair(&mut pair, key.to_string_lossy().as_bytes(), &item, depth + 1);
        put(&mut list, KEY, &pair);
    }
    put(out, 6 << 3 | 2, &list);
}

/// The members of an `AnyValue`; a type that OTLP does not have is written empty.
fn put_value(out: &mut Vec<u8>, value: &Bound<'_, PyAny>, depth: usize) {
    if let Ok(text) = value.cast::<PyString>() {
        put(out, 1 << 3 | 2, text.to_string_lossy().as_bytes());
    } else if let Ok(flag) = value.cast::<PyBool>() {
        put_varint(out, 2 << 3);
        put_varint(out, u64::from(flag.is_true()));
    } else if let Ok(number) = value.cast::<PyInt>() {
        if let Ok(number) = number.extract::<i64>() {
            put_varint(out, 3 << 3);
            put_varint(out, number as u64);
        }
    } else if let Ok(number) = value.cast::<PyFloat>() {
        put_fixed64(out, 4, number.value().to_bits());
    } else if let Ok(bytes) = value.cast::<PyBytes>() {
        put(out, 7 << 3 | 2, bytes.as_bytes());
    } else if depth < DEPTH_MAX {
        if let Ok(items) = value.cast::<PyTuple>() {
            put_items(out, items.iter(), depth);
        } else if let Ok(items) = value.cast::<PyList>() {
            put_items(out, items.iter(), depth);
        } else if let Ok(map) = value.cast::<PyDict>() {
            put_map(out, map, depth);
        }
    }
}

fn put_pair(out: &mut Vec<u8>, key: &[u8], value: &Bound<'_, PyAny>, depth: usize) {
    put(out, KEY, key);
    let mut content = Vec::new();
    put_value(&mut content, value, depth);
    put(out, VALUE, &content);
}

/// What the wire would have had of `value`: the content of a text or of bytes, the whole `AnyValue` of anything else.
fn take(out: &mut Vec<u8>, value: &Bound<'_, PyAny>) -> Value {
    let start = out.len();
    let (member, bits) = if let Ok(text) = value.cast::<PyString>() {
        out.extend_from_slice(text.to_string_lossy().as_bytes());
        (Member::String, 0)
    } else if let Ok(bytes) = value.cast::<PyBytes>() {
        out.extend_from_slice(bytes.as_bytes());
        (Member::Bytes, 0)
    } else {
        put_value(out, value, 1);
        if out.len() == start {
            return Value::default();
        }
        if let Ok(flag) = value.cast::<PyBool>() {
            (Member::Bool, u64::from(flag.is_true()))
        } else if let Ok(number) = value.cast::<PyInt>() {
            (Member::Int, number.extract::<i64>().unwrap_or_default() as u64)
        } else if let Ok(number) = value.cast::<PyFloat>() {
            (Member::Double, number.value().to_bits())
        } else if value.is_instance_of::<PyDict>() {
            (Member::KvList, 0)
        } else {
            (Member::Array, 0)
        }
    };
    Value { member, start, end: out.len(), bits, escaped: false }
}

fn tells(entries: &[Entry], inputs: bool) -> bool {
    entries.iter().any(|entry| inputs || !matches!(entry.goal, Goal::InputMessages | Goal::FlatInput))
}

fn wanted(table: &Table, key: &[u8], inputs: bool) -> bool {
    let (_, entries) = table.find(key);
    let flat = |entry: &Entry| key.starts_with(&entry.name) && tells(std::slice::from_ref(entry), inputs);
    tells(entries, inputs) || table.flat(key).iter().any(flat)
}

/// Attributes as ranges of a buffer.
pub struct Taken<'t> {
    table: &'t Table,
    inputs: bool,
    pub buffer: Vec<u8>,
    pub attributes: Vec<Attribute>,
}

impl<'t> Taken<'t> {
    /// Without `inputs` the messages that a model was given are left out.
    pub fn new(table: &'t Table, inputs: bool) -> Self {
        Self { table, inputs, buffer: Vec::with_capacity(1024), attributes: Vec::with_capacity(16) }
    }

    pub fn take(&mut self, attributes: &Bound<'_, PyDict>) {
        for (key, value) in attributes {
            let Ok(key) = key.cast_into::<PyString>() else { continue };
            let key = key.to_string_lossy();
            if wanted(self.table, key.as_bytes(), self.inputs) {
                self.put(None, key.as_bytes(), &value);
            }
        }
    }

    pub fn take_event(&mut self, name: &Bound<'_, PyString>, attributes: &Bound<'_, PyDict>) {
        let event = self.table.event(name.to_string_lossy().as_bytes());
        let Some(entries) = event.and_then(|event| self.table.event_entries(event)) else {
            return;
        };
        for (key, value) in attributes {
            let Ok(key) = key.cast_into::<PyString>() else { continue };
            let key = key.to_string_lossy();
            if entries.1.iter().any(|entry| entry.name == key.as_bytes() && tells(std::slice::from_ref(entry), self.inputs)) {
                self.put(event, key.as_bytes(), &value);
            }
        }
    }

    fn put(&mut self, event: Option<usize>, key: &[u8], value: &Bound<'_, PyAny>) {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(key);
        let key = start..self.buffer.len();
        let value = take(&mut self.buffer, value);
        self.attributes.push(Attribute { event, key, value });
    }
}
