//! From the attributes of one span to its row: kind, then name rules, then the other fields, each by rank and then place on the wire.

use memchr::arch::all::is_equal;

use crate::envelope::Envelope;
use crate::flat::{self, Item};
use crate::messages::Messages;
use crate::names::hash;
use crate::rows::{self, LLM, Span, TOOL};
use crate::scan::{Head, Scanner, Text};
use crate::sources::id_hash;
use crate::table::{Goal, Table, key_hash};
use crate::value::{Member, Value, Values, amount, tokens};

/// An attribute that some key of the table wants, in wire order.
#[derive(Clone, Copy)]
struct Candidate {
    entry: u32,
    value: Value,
}

/// A place that may tell output, requests or answers; sorted by rank, then wire order.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    rank: i32,
    place: usize,
    pub goal: Goal,
    pub value: Value,
    pub entry: usize,
}

/// Buffers of one span, used again for the next.
#[derive(Default)]
pub struct Scratch<'a> {
    candidates: Vec<Candidate>,
    kind: Option<(i32, u8)>,
    pub(crate) items: Vec<Item>,
    pub(crate) sorted: Vec<Item>,
    pub(crate) outputs: Vec<Source>,
    pub(crate) inputs: Vec<Source>,
    pub(crate) messages: Messages<'a>,
    pub(crate) joined: Vec<u8>,
    recent: Vec<(&'a [u8], u16, bool)>, // names by hash: the spans of a payload mostly repeat a few
}

impl Scratch<'_> {
    #[inline]
    pub fn clear(&mut self) {
        self.candidates.clear();
        self.items.clear();
        self.outputs.clear();
        self.inputs.clear();
        self.kind = None;
    }

    /// Notes an attribute, where the table knows its key.
    #[inline]
    pub fn attribute(&mut self, table: &Table, payload: &[u8], key: &[u8], value: Value) {
        let (first, entries) = table.find(key);
        for (offset, entry) in entries.iter().enumerate() {
            if entry.goal != Goal::Kind {
                self.candidates.push(Candidate { entry: (first + offset) as u32, value });
            } else if let Some(kind) = value.text(payload).and_then(|text| entry.value_of(text)) {
                if self.kind.is_none_or(|(rank, _)| entry.rank < rank) {
                    self.kind = Some((entry.rank, kind as u8));
                }
            }
        }
        if value.member == Member::String {
            for (number, entry) in table.flat(key).iter().enumerate() {
                if let Some(slot) = key.strip_prefix(entry.name.as_slice()).and_then(flat::slot) {
                    let place = self.candidates.len();
                    self.items.push(Item { entry: number, place, slot, start: value.start, end: value.end });
                }
            }
        }
    }

    /// Adds the flat entries that have items, each at the place of its first, and sorts by rank, then place.
    fn sort_sources(&mut self, table: &Table, kind: u8) {
        let mut seen = 0_u64;
        for item in &self.items {
            let bit = 1_u64 << (item.entry & 63);
            let Some(entry) = table.flat_entry(item.entry).filter(|entry| seen & bit == 0 && entry.kinds.has(kind)) else {
                continue;
            };
            seen |= bit;
            let source = Source { rank: entry.rank, place: item.place, goal: entry.goal, value: Value::default(), entry: item.entry };
            if entry.goal == Goal::FlatOutput { self.outputs.push(source) } else { self.inputs.push(source) }
        }
        let order = |source: &Source| (source.rank, source.place, !matches!(source.goal, Goal::FlatOutput | Goal::FlatInput), source.entry);
        self.outputs.sort_by_key(order);
        self.inputs.sort_by_key(order);
    }
}

const FIELDS: usize = 16;
const RECENT: usize = 64;

/// The best candidate so far of each field that takes one.
struct Best {
    ranks: [i32; FIELDS],
    places: [u32; FIELDS],
}

const NOBODY: u32 = u32::MAX;

impl Best {
    #[inline]
    fn offer(&mut self, goal: Goal, rank: i32, place: usize) {
        if let (Some(best), Some(winner)) = (self.ranks.get_mut(goal as usize), self.places.get_mut(goal as usize)) {
            if *winner == NOBODY || rank < *best {
                *best = rank;
                *winner = place as u32;
            }
        }
    }

    #[inline]
    fn get(&self, goal: Goal, candidates: &[Candidate]) -> Option<Value> {
        let place = self.places.get(goal as usize).filter(|place| **place != NOBODY)?;
        candidates.get(*place as usize).map(|candidate| candidate.value)
    }
}

fn says_error(value: &Value, payload: &[u8], values: &[(Vec<u8>, i64)]) -> bool {
    match value.member {
        Member::Bool => value.bits != 0,
        Member::String if values.is_empty() => value.start < value.end,
        Member::String => values.iter().any(|(name, _)| name == value.bytes(payload)),
        _ => false,
    }
}

/// Appends a text, unless the row (its texts start at `first`) has one with this number.
fn put_text(texts: &mut Vec<(u32, i32, Text)>, first: usize, (row, number): (u32, i32), values: &Values, value: &Value) {
    if texts.get(first..).is_some_and(|texts| texts.iter().any(|(_, other, _)| *other == number)) {
        return;
    }
    let decode = |value: &Value| String::from_utf8_lossy(value.bytes(values.payload)).into_owned();
    let text = match value.member {
        Member::String => Text::One(decode(value)),
        // Read before as part of the span, so it cannot fail now.
        Member::Array => Text::Many(values.strings(value).unwrap_or_default().iter().map(decode).collect()),
        _ => return,
    };
    texts.push((row, number, text));
}

impl<'a> Scanner<'a> {
    /// Fills the row of a span with valid ids.
    pub(crate) fn evaluate(&mut self, span: &mut Span, head: &Head<'a>) {
        let kind = self.scratch.kind.map_or(0, |(_, kind)| kind);
        let rule = self.codec.table.rule(kind, self.scope, head.name);
        span.kind = rule.and_then(|(rule, _)| rule.kind).unwrap_or(kind);
        if span.status == 2 {
            span.flags |= rows::ERROR;
        }
        let best = self.choose(span);
        let taken = rule.and_then(|(rule, rest)| Some((rule.take?, rest)));
        for (slot, goal) in [Goal::Operation, Goal::Tool, Goal::Model, Goal::Agent].into_iter().enumerate() {
            let name = match best.get(goal, &self.scratch.candidates) {
                Some(value) => value.bytes(self.payload),
                None => taken.filter(|(take, _)| *take == goal).map_or(b"".as_slice(), |(_, rest)| rest),
            };
            self.intern(span, slot, name);
        }
        self.intern(span, 4, self.service);
        self.fill(span, &best);
        self.scratch.sort_sources(&self.codec.table, span.kind);
        if !self.scratch.outputs.is_empty() {
            self.outputs(span);
        }
        if span.kind == LLM && !self.scratch.inputs.is_empty() {
            self.inputs(span);
        }
    }

    #[inline]
    fn intern(&mut self, span: &mut Span, slot: usize, name: &'a [u8]) {
        let Some(number) = span.names.get_mut(slot).filter(|_| !name.is_empty()) else {
            return;
        };
        if self.alone {
            let (interned, overflow) = self.names.intern(name);
            *number = interned;
            self.columns.overflow += u64::from(overflow);
            return;
        }
        if self.scratch.recent.is_empty() {
            self.scratch.recent.resize(RECENT, (b"", 0, false));
        }
        let Some(recent) = self.scratch.recent.get_mut(key_hash(name) % RECENT) else {
            return;
        };
        if !is_equal(recent.0, name) {
            let (number, overflow) = self.names.intern(name);
            *recent = (name, number, overflow);
        }
        *number = recent.1;
        self.columns.overflow += u64::from(recent.2);
    }

    /// Goes through the candidates once: single fields by rank, sources of messages put aside.
    fn choose(&mut self, span: &mut Span) -> Best {
        let mut best = Best { ranks: [0; FIELDS], places: [NOBODY; FIELDS] };
        let payload = self.payload;
        let first_text = self.columns.texts.len();
        for (place, candidate) in self.scratch.candidates.iter().enumerate() {
            let value = candidate.value;
            let Some(entry) = self.codec.table.entry(candidate.entry as usize).filter(|entry| entry.kinds.has(span.kind)) else {
                continue;
            };
            let source = Source { rank: entry.rank, place, goal: entry.goal, value, entry: 0 };
            let yields = match entry.goal {
                Goal::Operation | Goal::Tool | Goal::Model | Goal::Agent | Goal::Conversation => value.text(payload).is_some(),
                Goal::CallId | Goal::Arguments => value.start < value.end,
                Goal::Result => true,
                Goal::InputTokens | Goal::OutputTokens | Goal::CachedTokens | Goal::ReasoningTokens => tokens(&value, payload).is_some(),
                Goal::Cost => amount(&value, payload).is_some(),
                _ => false,
            };
            if yields {
                best.offer(entry.goal, entry.rank, place);
                continue;
            }
            match entry.goal {
                Goal::Error if says_error(&value, payload, &entry.values) => span.flags |= rows::ERROR,
                Goal::Mark => span.flags |= 1 << (rows::MARK_SHIFT + (entry.rank as u32 & 31)).min(31),
                Goal::Output if value.start < value.end => self.scratch.outputs.push(source),
                Goal::OutputMessages => self.scratch.outputs.push(source),
                Goal::InputMessages => self.scratch.inputs.push(source),
                Goal::Text => put_text(&mut self.columns.texts, first_text, (self.row, entry.rank), &self.values, &value),
                _ => {}
            }
        }
        best
    }

    /// Reads what a framework wrapped around a result: who called, what the tool itself said, and whether it failed.
    fn unwrap_result(&self, span: &mut Span, text: &[u8]) {
        if text.first() != Some(&b'{') || !self.codec.enveloped.iter().any(|finder| finder.find(text).is_some()) {
            return;
        }
        let envelope = Envelope::read(text);
        if envelope.error {
            span.flags |= rows::ERROR;
        }
        if span.call_id == 0 {
            span.call_id = id_hash(envelope.call_id);
        }
        if let Some(content) = envelope.content {
            span.result = hash(content.raw);
            span.result_len = content.raw.len() as u32;
        }
    }

    fn fill(&self, span: &mut Span, best: &Best) {
        let payload = self.payload;
        let candidates = &self.scratch.candidates;
        let get = |goal| best.get(goal, candidates);
        if let Some(value) = get(Goal::CallId) {
            span.call_id = hash(value.bytes(payload));
        }
        if let Some(value) = get(Goal::Arguments) {
            span.arguments = hash(value.bytes(payload));
            span.arguments_len = (value.end - value.start) as u32;
            span.flags |= rows::HAS_ARGUMENTS;
        }
        if let Some(value) = get(Goal::Result) {
            span.result = hash(value.bytes(payload));
            span.result_len = (value.end - value.start) as u32;
            span.flags |= rows::HAS_RESULT;
            if span.kind == TOOL && value.member == Member::String {
                self.unwrap_result(span, value.bytes(payload));
            }
        }
        if let Some(value) = get(Goal::Conversation) {
            span.conversation_at = value.start as u32;
            span.conversation_len = (value.end - value.start) as u32;
        }
        if let Some(cost) = get(Goal::Cost).and_then(|value| amount(&value, payload)) {
            span.cost = cost;
        }
        let goals = [Goal::InputTokens, Goal::OutputTokens, Goal::CachedTokens, Goal::ReasoningTokens];
        for (place, goal) in span.tokens.iter_mut().zip(goals) {
            *place = get(goal).and_then(|value| tokens(&value, payload)).unwrap_or(-1);
        }
    }
}
