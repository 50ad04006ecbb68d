//! A span that is still in memory, as a request of one span: what a codec reads is then always the same bytes.
//!
//! Only attributes that the table knows are written. `otel_ext/wire/memory.py` does the same.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use crate::reader::put_varint;
use crate::scan::{ATTRIBUTES, RESOURCE, RESOURCE_SPANS, SCOPE, SCOPE_SPANS, SPANS};
use crate::table::{Goal, Table};

const DEPTH_MAX: usize = 8; // values nested deeper are written empty
const TRACE_ID: [u8; 16] = [1; 16]; // one trace: which one is the caller's business
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
    // A text, which most values are, is written in place: its length is known before.
    if let Ok(text) = value.cast::<PyString>() {
        let text = text.to_string_lossy();
        let mut head = Vec::with_capacity(8);
        put_varint(&mut head, u64::from(KEY));
        put_varint(&mut head, text.len() as u64);
        put_varint(out, u64::from(VALUE));
        put_varint(out, (head.len() + text.len()) as u64);
        out.extend_from_slice(&head);
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let mut content = Vec::new();
    put_value(&mut content, value, depth);
    put(out, VALUE, &content);
}

/// What a span's own fields say, but for its trace.
pub struct Head<'a> {
    pub name: &'a [u8],
    pub scope: &'a [u8],
    pub service: &'a [u8],
    pub span_id: u64,
    pub start: u64,
    pub end: u64,
    pub status: u8,
}

fn wanted(table: &Table, key: &[u8], inputs: bool) -> bool {
    let (_, entries) = table.find(key);
    let reads = |goal: Goal| inputs || !matches!(goal, Goal::InputMessages | Goal::FlatInput);
    entries.iter().any(|entry| reads(entry.goal)) || table.flat(key).iter().any(|entry| key.starts_with(&entry.name) && reads(entry.goal))
}

fn span(table: &Table, head: &Head<'_>, attributes: &Bound<'_, PyDict>, inputs: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    put(&mut out, 1 << 3 | 2, &TRACE_ID);
    put(&mut out, 2 << 3 | 2, &head.span_id.to_be_bytes());
    put(&mut out, 5 << 3 | 2, head.name);
    put_fixed64(&mut out, 7, head.start);
    put_fixed64(&mut out, 8, head.end);
    let mut pair = Vec::with_capacity(512);
    for (key, value) in attributes {
        let Ok(key) = key.cast_into::<PyString>() else {
            continue;
        };
        let key = key.to_string_lossy();
        if wanted(table, key.as_bytes(), inputs) {
            pair.clear();
            put_pair(&mut pair, key.as_bytes(), &value, 1);
            put(&mut out, ATTRIBUTES, &pair);
        }
    }
    if head.status > 0 {
        put(&mut out, 15 << 3 | 2, &[3 << 3, head.status]);
    }
    out
}

/// An `ExportTraceServiceRequest` with this one span. Without `inputs` the messages that a model was given are left out.
pub fn request(table: &Table, head: &Head<'_>, attributes: &Bound<'_, PyDict>, inputs: bool) -> Vec<u8> {
    let span = span(table, head, attributes, inputs);
    let (mut value, mut pair, mut resource) = (Vec::new(), Vec::new(), Vec::new());
    put(&mut value, KEY, head.service);
    put(&mut pair, KEY, b"service.name");
    put(&mut pair, VALUE, &value);
    put(&mut resource, KEY, &pair);
    let (mut name, mut scope) = (Vec::new(), Vec::with_capacity(span.len() + 64));
    put(&mut name, KEY, head.scope);
    put(&mut scope, SCOPE, &name);
    put(&mut scope, SPANS, &span);
    let mut content = Vec::with_capacity(scope.len() + resource.len() + 32);
    put(&mut content, RESOURCE, &resource);
    put(&mut content, SCOPE_SPANS, &scope);
    let mut out = Vec::with_capacity(content.len() + 8);
    put(&mut out, RESOURCE_SPANS, &content);
    out
}
