//! What the spans of a trace say about all of it, carried to those that do not say it: the twin of `otel_ext/wire/notes.py`.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::reader::{Cursor, Field, LEN, Result, put_varint};
use crate::scan::{ATTRIBUTES, RESOURCE, RESOURCE_SPANS, SCOPE_SPANS, SPANS, TRACE_ID};
use crate::value::{Member, Value, Values};

const KEEP: u8 = 1;
const SPENDS: u8 = 2;
const WRAPS: u8 = 4;
const NAMES: u8 = 8;
const NESTED: u8 = 1;
const ODD: u8 = 2;
const RAISED: u8 = 4;
const LARGE: u8 = 8;

const VALUE_BYTES_MAX: usize = 1_024;
const TAGS_MAX: usize = 64;
const DEPTH_MAX: usize = 32;
pub const SLOTS_MAX: usize = 8;
const LENGTHS: usize = 128; // a longer key is nobody's

const NAME: u32 = (5 << 3) | LEN;
const EVENTS: u32 = (11 << 3) | LEN;
const STATUS: u32 = (15 << 3) | LEN;
const EVENT_NAME: u32 = (2 << 3) | LEN;
const MESSAGE: u32 = (2 << 3) | LEN;
const ARRAY: u32 = (5 << 3) | LEN;
const ITEM: u32 = (1 << 3) | LEN;

type Bytes = Vec<u8>;
type Id = [u8; 16];

/// What a key is, in every role that it has.
#[derive(Clone, Default)]
#[expect(clippy::struct_excessive_bools)] // roles are independent of each other
pub struct Role {
    pub slot: Option<usize>,
    pub tags: bool,
    pub explicit: bool,
    pub integer: bool,
    pub plain: bool,
    pub message: bool,
    pub words: Option<Vec<Bytes>>,
    pub length: Option<usize>,
    pub pairs: u32,
}

/// The table of `NoteTable`, by key.
#[derive(Default)]
pub struct Table {
    pub targets: Vec<Bytes>,
    pub tags: Bytes,
    pub name: Option<usize>,
    pub usage: Vec<Bytes>,
    pub neutral: Bytes,
    pub pairs: Vec<(u32, u32)>,
    pub traces_max: usize,
    pub span_bytes_max: usize,
    pub by_length: Vec<Vec<(Bytes, Role)>>,
}

impl Table {
    /// The role of a key, to be added to.
    pub fn role(&mut self, key: &[u8]) -> &mut Role {
        if self.by_length.len() <= key.len() {
            self.by_length.resize_with(key.len() + 1, Vec::new);
        }
        let Some(bucket) = self.by_length.get_mut(key.len()) else { unreachable!() };
        let at = bucket.iter().position(|(known, _)| known == key).unwrap_or_else(|| {
            bucket.push((key.to_vec(), Role::default()));
            bucket.len() - 1
        });
        let Some((_, role)) = bucket.get_mut(at) else { unreachable!() };
        role
    }

    #[inline]
    fn find(&self, key: &[u8]) -> Option<&Role> {
        let bucket = self.by_length.get(key.len())?;
        bucket.iter().find(|(known, _)| known == key).map(|(_, role)| role)
    }
}

#[derive(Default)]
struct Trace {
    values: [Bytes; SLOTS_MAX],
    tags: Vec<Bytes>,
    spends: bool,
}

#[derive(Default)]
#[expect(clippy::struct_excessive_bools)] // so are these
struct Span {
    row: usize,
    bits: u8,
    trace: Id,
    name: (usize, usize),
    said: u32,
    values: [(u32, u32); SLOTS_MAX],
    tags: Option<Vec<(usize, usize)>>,
    cuts: Vec<(usize, usize)>,
    used: bool,
    explicit: bool,
    pairs: u32,
    look: u8,
    raised: bool,
    message: bool,
}

/// Hashes ids with a seed of this process: senders choose them.
#[derive(Clone)]
struct Seed(u64);

struct IdHasher(u64, u64);

impl BuildHasher for Seed {
    type Hasher = IdHasher;
    fn build_hasher(&self) -> IdHasher {
        IdHasher(self.0, 0)
    }
}

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.1 = xxh3_64_with_seed(bytes, self.0 ^ self.1);
    }
    fn write_usize(&mut self, _: usize) {}
    fn finish(&self) -> u64 {
        self.1
    }
}

/// What a payload gains, see `Noted`.
#[derive(Default)]
pub struct Noted {
    pub offsets: Bytes,
    pub data: Bytes,
    pub cuts: Bytes,
    pub looks: Bytes,
    pub resources: Bytes,
}

pub struct Notes {
    table: Table,
    traces: HashMap<Id, Box<Trace>, Seed>,
    order: VecDeque<Id>,
    pub forgotten: u64,
}

impl Notes {
    pub fn new(table: Table) -> Self {
        let seed = Seed(RandomState::new().hash_one(0_u8));
        Self { table, traces: HashMap::with_hasher(seed), order: VecDeque::new(), forgotten: 0 }
    }

    /// `rows`: bits a row; `ranges`: place and length a row, for the first slots. Err of the inner kind: rows that do not fit.
    pub fn take(&mut self, payload: &[u8], rows: &[u8], ranges: &[&[u8]]) -> Result<std::result::Result<Noted, String>> {
        let mut noted = Noted::default();
        let mut reading = Reading { table: &self.table, payload, rows, row: 0, spans: Vec::with_capacity(rows.len()) };
        reading.request(&mut noted.resources)?;
        let (row, spans) = (reading.row, reading.spans);
        if row != rows.len() {
            return Ok(Err(format!("{row} spans, but there are {} rows", rows.len())));
        }
        let mut spans = spans;
        for span in &mut spans {
            self.learn(payload, span, ranges);
        }
        for span in &spans {
            self.name(payload, span);
        }
        noted.looks.resize(rows.len(), 0);
        noted.offsets.reserve(rows.len() * 4 + 4);
        noted.offsets.extend_from_slice(&0_u32.to_le_bytes());
        let mut next = 0;
        for span in &spans {
            fill(&mut noted.offsets, span.row - next, noted.data.len());
            next = span.row + 1;
            self.gain(payload, span, &mut noted);
            noted.offsets.extend_from_slice(&(noted.data.len() as u32).to_le_bytes());
            if let Some(look) = noted.looks.get_mut(span.row) {
                *look = span.look;
            }
        }
        fill(&mut noted.offsets, rows.len() - next, noted.data.len());
        Ok(Ok(noted))
    }

    fn learn(&mut self, payload: &[u8], span: &mut Span, ranges: &[&[u8]]) {
        for (slot, range) in ranges.iter().enumerate() {
            let Some(place) = range.get(span.row * 8..).and_then(<[u8]>::first_chunk::<8>) else { continue };
            let both = u64::from_le_bytes(*place);
            let (at, size) = (both as u32, (both >> 32) as u32);
            if let (1..=1_024, Some(value)) = (size, span.values.get_mut(slot)) {
                *value = (at, at + size);
            }
        }
        let spends = span.bits & SPENDS != 0;
        let names = span.bits & NAMES != 0 && self.table.name.is_some();
        let says = span.values.iter().any(|(start, end)| start < end) || span.tags.as_ref().is_some_and(|tags| !tags.is_empty());
        if !(says || spends || names) {
            return;
        }
        let trace = self.trace(span.trace);
        trace.spends |= spends;
        for (known, (start, end)) in trace.values.iter_mut().zip(span.values) {
            if known.is_empty() && start < end {
                *known = slice(payload, start as usize, end as usize).to_vec();
            }
        }
        for (start, end) in span.tags.iter().flatten() {
            let text = slice(payload, *start, *end);
            if trace.tags.len() < TAGS_MAX && !trace.tags.iter().any(|known| known == text) {
                trace.tags.push(text.to_vec());
            }
        }
    }

    /// By a span's own name, where nothing in the payload or before it says another.
    fn name(&mut self, payload: &[u8], span: &Span) {
        let Some(slot) = self.table.name.filter(|_| span.bits & NAMES != 0) else { return };
        if let Some(known) = self.traces.get_mut(&span.trace).and_then(|trace| trace.values.get_mut(slot)).filter(|known| known.is_empty())
        {
            let name = slice(payload, span.name.0, span.name.1);
            *known = name.get(..VALUE_BYTES_MAX).unwrap_or(name).to_vec();
        }
    }

    fn trace(&mut self, id: Id) -> &mut Trace {
        if !self.traces.contains_key(&id) {
            if self.traces.len() >= self.table.traces_max {
                if let Some(oldest) = self.order.pop_front() {
                    self.traces.remove(&oldest);
                    self.forgotten += 1;
                }
            }
            self.order.push_back(id);
        }
        self.traces.entry(id).or_default()
    }

    fn gain(&self, payload: &[u8], span: &Span, noted: &mut Noted) {
        let Some(trace) = self.traces.get(&span.trace) else { return };
        for (slot, target) in self.table.targets.iter().enumerate() {
            let Some((&(start, end), known)) = span.values.get(slot).zip(trace.values.get(slot)) else { continue };
            let own = slice(payload, start as usize, end as usize);
            let value = if own.is_empty() { known.as_slice() } else { own };
            if !value.is_empty() && span.said & (1 << slot) == 0 {
                text_attribute(&mut noted.data, target, value);
            }
        }
        let own = span.tags.as_ref().map(|tags| tags.iter().map(|(start, end)| slice(payload, *start, *end)));
        let whole = own.is_some_and(|own| own.eq(trace.tags.iter().map(Vec::as_slice)));
        if !trace.tags.is_empty() && !whole && (span.tags.is_some() || span.cuts.is_empty()) {
            list_attribute(&mut noted.data, &self.table.tags, &trace.tags);
            for (start, end) in &span.cuts {
                noted.cuts.extend_from_slice(&(*start as u32).to_le_bytes());
                noted.cuts.extend_from_slice(&(*end as u32).to_le_bytes());
            }
        }
        if span.used && !span.explicit && trace.spends {
            noted.data.extend_from_slice(&self.table.neutral);
        }
    }
}

fn fill(offsets: &mut Bytes, rows: usize, at: usize) {
    for _ in 0..rows {
        offsets.extend_from_slice(&(at as u32).to_le_bytes());
    }
}

fn slice(payload: &[u8], start: usize, end: usize) -> &[u8] {
    payload.get(start..end).unwrap_or_default()
}

struct Reading<'a> {
    table: &'a Table,
    payload: &'a [u8],
    rows: &'a [u8],
    row: usize,
    spans: Vec<Span>,
}

impl Reading<'_> {
    fn request(&mut self, resources: &mut Bytes) -> Result<()> {
        let mut cursor = Cursor::new(self.payload, 0, self.payload.len());
        while let Some(field) = cursor.next_field()? {
            if field.tag == RESOURCE_SPANS {
                let first = self.row;
                let (start, end) = self.resource_spans(&field)?;
                for number in [first, start, end] {
                    resources.extend_from_slice(&(number as u32).to_le_bytes());
                }
            }
        }
        Ok(())
    }

    fn resource_spans(&mut self, parent: &Field) -> Result<(usize, usize)> {
        let mut at = (0, 0);
        let mut cursor = Cursor::new(self.payload, parent.start, parent.end);
        while let Some(field) = cursor.next_field()? {
            match field.tag {
                RESOURCE => at = (field.start, field.end),
                SCOPE_SPANS => self.scope_spans(&field)?,
                _ => {}
            }
        }
        Ok(at)
    }

    fn scope_spans(&mut self, parent: &Field) -> Result<()> {
        let mut cursor = Cursor::new(self.payload, parent.start, parent.end);
        while let Some(field) = cursor.next_field()? {
            if field.tag == SPANS {
                let bits = self.rows.get(self.row).copied().unwrap_or_default();
                if bits & KEEP != 0 {
                    let span = self.span(&field, bits)?;
                    self.spans.push(span);
                }
                self.row += 1;
            }
        }
        Ok(())
    }

    fn span(&self, whole: &Field, bits: u8) -> Result<Span> {
        let mut span = Span { row: self.row, bits, ..Span::default() };
        let mut cursor = Cursor::new(self.payload, whole.start, whole.end);
        while let Some(field) = cursor.next_field()? {
            match field.tag {
                ATTRIBUTES => self.attribute(&mut span, &field)?,
                TRACE_ID => span.trace = slice(self.payload, field.start, field.end).try_into().unwrap_or_default(),
                NAME => span.name = (field.start, field.end),
                EVENTS => span.raised |= self.holds(&field, EVENT_NAME, |name| name == b"exception")?,
                STATUS => span.message |= self.holds(&field, MESSAGE, |message| !message.is_empty())?,
                _ => {}
            }
        }
        if self.table.pairs.iter().any(|(one, other)| (span.pairs & one == 0) != (span.pairs & other == 0)) {
            span.look |= ODD;
        }
        if span.raised && !span.message {
            span.look |= RAISED;
        }
        if whole.end - whole.start > self.table.span_bytes_max {
            span.look |= LARGE;
        }
        Ok(span)
    }

    fn holds(&self, parent: &Field, tag: u32, fits: fn(&[u8]) -> bool) -> Result<bool> {
        let mut found = false;
        let mut cursor = Cursor::new(self.payload, parent.start, parent.end);
        while let Some(field) = cursor.next_field()? {
            found |= field.tag == tag && fits(slice(self.payload, field.start, field.end));
        }
        Ok(found)
    }

    #[inline]
    fn attribute(&self, span: &mut Span, field: &Field) -> Result<()> {
        let pair = Values { payload: self.payload, depth_max: DEPTH_MAX }.key_value(field.start, field.end, 1)?;
        let key = slice(self.payload, pair.key_start, pair.key_end);
        match pair.value.member {
            Member::KvList | Member::Bytes | Member::None => span.look |= NESTED,
            Member::Array if !self.items(&pair.value, |_| {})? => span.look |= NESTED,
            _ => {}
        }
        if span.bits & WRAPS != 0 && self.table.usage.iter().any(|prefix| key.starts_with(prefix)) {
            span.used = true;
        }
        match self.table.find(key) {
            Some(role) if key.len() < LENGTHS => self.known(span, field, role, &pair.value),
            _ => Ok(()),
        }
    }

    fn known(&self, span: &mut Span, field: &Field, role: &Role, value: &Value) -> Result<()> {
        let text = value.text(self.payload).unwrap_or_default();
        if let Some(slot) = role.slot {
            span.said |= 1 << slot;
            if let Some(place) = span.values.get_mut(slot) {
                if place.0 == place.1 && (1..=VALUE_BYTES_MAX).contains(&text.len()) {
                    *place = (value.start as u32, value.end as u32);
                }
            }
        }
        if role.tags {
            span.cuts.push((field.at, field.end));
            if value.member == Member::Array {
                let mut tags = span.tags.take().unwrap_or_default();
                self.items(value, |range| tags.push(range))?;
                span.tags = Some(tags);
            }
        }
        span.explicit |= role.explicit;
        span.message |= role.message;
        span.pairs |= role.pairs;
        let is_text = value.member == Member::String;
        let odd = (role.integer && value.member != Member::Int)
            || role.words.as_ref().is_some_and(|words| !words.iter().any(|word| word == text))
            || role.length.is_some_and(|length| !is_text || text.len() > length)
            || (role.plain && !is_plain(text));
        if odd {
            span.look |= ODD;
        }
        Ok(())
    }

    /// Calls `with` with the range of every string in the last array of `value`; whether that has items, and all of them are plain.
    fn items(&self, value: &Value, mut with: impl FnMut((usize, usize))) -> Result<bool> {
        let (mut last, mut found, mut plain) = (None, false, true);
        let mut cursor = Cursor::new(self.payload, value.start, value.end);
        while let Some(field) = cursor.next_field()? {
            if field.tag == ARRAY {
                last = Some(field);
            }
        }
        let Some(array) = last else { return Ok(false) };
        let values = Values { payload: self.payload, depth_max: DEPTH_MAX };
        let mut inside = Cursor::new(self.payload, array.start, array.end);
        while let Some(item) = inside.next_field()? {
            if item.tag == ITEM {
                let mut one = Value::default();
                values.any_value(item.start, item.end, 1, &mut one)?;
                found = true;
                plain &= matches!(one.member, Member::String | Member::Bool | Member::Int | Member::Double);
                if one.member == Member::String {
                    with((one.start, one.end));
                }
            }
        }
        Ok(found && plain)
    }
}

fn is_plain(text: &[u8]) -> bool {
    (1..=40).contains(&text.len()) && text.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

fn varint_size(mut number: usize) -> usize {
    let mut size = 1;
    while number > 127 {
        number >>= 7;
        size += 1;
    }
    size
}

fn delimited_size(content: usize) -> usize {
    1 + varint_size(content) + content
}

fn head(out: &mut Bytes, tag: u32, content: usize) {
    out.push(tag as u8);
    put_varint(out, content as u64);
}

/// Writes the start of a Span.attributes field with that key, up to the content of its value.
pub fn attribute_head(out: &mut Bytes, key: &[u8], value: usize) {
    head(out, ATTRIBUTES, delimited_size(key.len()) + delimited_size(value));
    head(out, (1 << 3) | LEN, key.len());
    out.extend_from_slice(key);
    head(out, (2 << 3) | LEN, value);
}

pub fn text_attribute(out: &mut Bytes, key: &[u8], text: &[u8]) {
    attribute_head(out, key, delimited_size(text.len()));
    head(out, (1 << 3) | LEN, text.len());
    out.extend_from_slice(text);
}

fn list_attribute(out: &mut Bytes, key: &[u8], texts: &[Bytes]) {
    let items: usize = texts.iter().map(|text| delimited_size(delimited_size(text.len()))).sum();
    attribute_head(out, key, delimited_size(items));
    head(out, ARRAY, items);
    for text in texts {
        head(out, ITEM, delimited_size(text.len()));
        head(out, (1 << 3) | LEN, text.len());
        out.extend_from_slice(text);
    }
}
