//! From the attributes of one span to its row: kind, then name rules, then the other fields, each by rank and then place on the wire.

use memchr::arch::all::is_equal;

use crate::codec::Text;
use crate::envelope::Envelope;
use crate::flat::{self, Item};
use crate::messages::Messages;
use crate::names::hash;
use crate::places;
use crate::prints::Printer;
use crate::rows::{self, EMBEDDING, HANDOFF, LLM, MCP, RETRIEVER, Span, TOOL};
use crate::scan::{Head, Scanner};
use crate::skim::Skim;
use crate::sources::{id_hash, says_no_such_tool};
use crate::table::{Entry, Goal, RuleSet, Table, key_hash};
use crate::unescape::unescape;
use crate::value::{Member, Value, Values, amount, tokens};

/// `DECLARED_*` of `otel_ext/wire/table.py`.
const DECLARED_JSON: u8 = 0;
const DECLARED_ONE: u8 = 1;
const DECLARED_VALUE: u8 = 2;
const DECLARED_ESCAPED: u8 = 4;

/// An attribute that some key of the table wants, in wire order.
#[derive(Clone, Copy)]
struct Candidate {
    entry: u32,
    value: Value,
}

/// A place that may tell output, requests or answers; sorted by rank, then wire order.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    pub rank: i32,
    place: usize,
    pub goal: Goal,
    pub value: Value,
    pub entry: usize,
    pub event: bool,
}

/// Buffers of one span, used again for the next.
#[derive(Default)]
pub struct Scratch<'a> {
    candidates: Vec<Candidate>,
    kind: Option<(i32, u8)>,
    declared: Vec<Candidate>, // of flat entries
    pub(crate) items: Vec<Item>,
    pub(crate) sorted: Vec<Item>,
    pub(crate) outputs: Vec<Source>,
    pub(crate) inputs: Vec<Source>,
    pub(crate) messages: Messages<'a>,
    pub(crate) joined: Vec<u8>,
    pub(crate) printer: Printer,
    recent: Vec<(&'a [u8], u16, bool)>, // names by hash: the spans of a payload mostly repeat a few
}

impl Scratch<'_> {
    #[inline]
    pub fn clear(&mut self) {
        self.candidates.clear();
        self.declared.clear();
        self.items.clear();
        self.outputs.clear();
        self.inputs.clear();
        self.kind = None;
    }

    /// Notes an attribute, where the table knows its key.
    #[inline]
    pub fn attribute(&mut self, table: &Table, payload: &[u8], scope: &[u8], key: &[u8], value: Value) {
        let (first, entries) = table.find(key);
        self.note(first, entries, payload, scope, value);
        if value.member == Member::String {
            self.flat(table, key, value);
        }
    }

    /// Notes an attribute of an event; `entries` are those of the event, from number `first` on.
    pub fn event_attribute(&mut self, (first, entries): (usize, &[Entry]), payload: &[u8], scope: &[u8], key: &[u8], value: Value) {
        for (offset, entry) in entries.iter().enumerate().filter(|(_, entry)| is_equal(&entry.name, key)) {
            self.note(first + offset, std::slice::from_ref(entry), payload, scope, value);
        }
    }

    #[inline]
    fn note(&mut self, first: usize, entries: &[Entry], payload: &[u8], scope: &[u8], value: Value) {
        for (offset, entry) in entries.iter().enumerate() {
            if entry.goal != Goal::Kind {
                self.candidates.push(Candidate { entry: (first + offset) as u32, value });
                continue;
            }
            let value = if entry.in_scope(scope) { entry.derived(value, payload) } else { None };
            let text = value.filter(|value| value.member == Member::String && value.start < value.end);
            if let Some(kind) = text.and_then(|text| entry.kind_of(&text.plain(payload))) {
                if self.kind.is_none_or(|(rank, _)| entry.rank < rank) {
                    self.kind = Some((entry.rank, kind as u8));
                }
            }
        }
    }

    fn flat(&mut self, table: &Table, key: &[u8], value: Value) {
        for (number, entry) in table.flat(key).iter().enumerate() {
            // Every such key has an index after its prefix, so that most are told apart by one byte.
            if !key.get(entry.name.len()).is_some_and(u8::is_ascii_digit) {
                continue;
            }
            let Some(rest) = key.strip_prefix(entry.name.as_slice()) else {
                continue;
            };
            if entry.goal == Goal::FlatDeclared {
                if flat::declares(rest) {
                    self.declared.push(Candidate { entry: number as u32, value });
                }
            } else if let Some(slot) = flat::slot(rest) {
                let place = self.candidates.len();
                self.items.push(Item { entry: number, place, slot, start: value.start, end: value.end });
            }
        }
    }

    /// Adds the flat entries that have items, each at the place of its first, and sorts by rank, then place.
    fn sort_sources(&mut self, table: &Table, kind: u8, scope: &[u8]) {
        let mut seen = 0_u64;
        for item in &self.items {
            let bit = 1_u64 << (item.entry & 63);
            let Some(entry) = table.flat_entry(item.entry).filter(|entry| seen & bit == 0 && entry.fits(kind, scope)) else {
                continue;
            };
            seen |= bit;
            let source =
                Source { rank: entry.rank, place: item.place, goal: entry.goal, value: Value::default(), entry: item.entry, event: false };
            if entry.goal == Goal::FlatOutput { self.outputs.push(source) } else { self.inputs.push(source) }
        }
        let order = |source: &Source| (source.rank, source.place, !matches!(source.goal, Goal::FlatOutput | Goal::FlatInput), source.entry);
        self.outputs.sort_by_key(order);
        self.inputs.sort_by_key(order);
    }
}

const FIELDS: usize = 32;
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

    /// The rank of the best for `goal`.
    fn rank(&self, goal: Goal) -> Option<i32> {
        let there = self.places.get(goal as usize).is_some_and(|place| *place != NOBODY);
        self.ranks.get(goal as usize).copied().filter(|_| there)
    }

    #[inline]
    fn get(&self, goal: Goal, candidates: &[Candidate]) -> Option<Value> {
        let place = self.places.get(goal as usize).filter(|place| **place != NOBODY)?;
        candidates.get(*place as usize).map(|candidate| candidate.value)
    }
}

fn says_error(value: &Value, payload: &[u8], values: &[(Vec<u8>, i64)]) -> bool {
    match value.member {
        Member::Bool if values.is_empty() => value.bits != 0,
        Member::Bool => values.iter().any(|(name, _)| name == if value.bits != 0 { b"true".as_slice() } else { b"false" }),
        Member::String if values.is_empty() => value.start < value.end,
        Member::String => values.iter().any(|(name, _)| *name == *value.plain(payload)),
        _ => false,
    }
}

/// Whether one of the finish reasons, also between commas and in JSON, is in `values`.
fn is_truncated(value: &Value, values: &Values, wanted: &[(Vec<u8>, i64)]) -> bool {
    match value.member {
        Member::String => has_reason(&value.plain(values.payload), wanted),
        Member::Array | Member::Json => values.strings(value).iter().any(|text| has_reason(text, wanted)),
        _ => false,
    }
}

fn has_reason(text: &[u8], wanted: &[(Vec<u8>, i64)]) -> bool {
    let any = |text: &[u8]| text.split(|byte| *byte == b',').any(|part| wanted.iter().any(|(name, _)| name == bare(part)));
    let text = bare(text);
    match text.first() {
        Some(b'[') => places::strings_in(text).iter().any(|text| any(text)),
        Some(b'"') => match places::find(text, &[]) {
            Some(place) => any(&unescape(Skim { json: text }.between(place.start, place.end))),
            None => any(text),
        },
        _ => any(text),
    }
}

/// Without blanks around.
fn bare(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] | [rest @ .., b' ' | b'\t' | b'\n' | b'\r'] = text {
        text = rest;
    }
    text
}

/// Appends a text, unless the row (its texts start at `first`) has one with this number.
fn put_text(texts: &mut Vec<(u32, i32, Text)>, first: usize, (row, number): (u32, i32), values: &Values, value: &Value) {
    if texts.get(first..).is_some_and(|texts| texts.iter().any(|(_, other, _)| *other == number)) {
        return;
    }
    let text = match value.member {
        Member::String => Text::One(String::from_utf8_lossy(&value.plain(values.payload)).into_owned()),
        Member::Json if value.bytes(values.payload).first() != Some(&b'[') => return,
        Member::Array | Member::Json => {
            Text::Many(values.strings(value).iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect())
        }
        _ => return,
    };
    texts.push((row, number, text));
}

impl<'a> Scanner<'a> {
    /// Fills the row of a span with valid ids.
    pub(crate) fn evaluate(&mut self, span: &mut Span, head: &Head<'a>) {
        let kind = self.scratch.kind.map_or(0, |(_, kind)| kind);
        let rule = self.codec.table.rule(self.rules(), kind, head.name);
        span.kind = rule.and_then(|(rule, _)| rule.kind).unwrap_or(kind);
        if span.status == 2 {
            span.flags |= rows::ERROR;
        }
        let best = self.choose(span);
        let taken = rule.and_then(|(rule, rest)| Some((rule.take?, rest)));
        for (slot, goal) in [Goal::Operation, Goal::Tool, Goal::Model, Goal::Agent].into_iter().enumerate() {
            let name = match best.get(goal, &self.scratch.candidates) {
                Some(value) if value.escaped => {
                    self.intern_once(span, slot, &value.plain(self.payload));
                    continue;
                }
                Some(value) => value.bytes(self.payload),
                None => taken.filter(|(take, _)| *take == goal).map_or(b"".as_slice(), |(_, rest)| rest),
            };
            self.intern(span, slot, name);
        }
        self.intern(span, 4, self.service);
        self.fill(span, &best);
        if matches!(span.kind, TOOL | MCP) && span.step_flags & rows::REFUSED != 0 {
            span.flags |= rows::ERROR;
        }
        self.fill_tokens(span, &best);
        self.scratch.sort_sources(&self.codec.table, span.kind, self.scope);
        self.declare_flat(span.kind);
        if !self.scratch.outputs.is_empty() {
            self.outputs(span);
        }
        if span.kind == LLM && !self.scratch.inputs.is_empty() {
            self.inputs(span);
        }
    }

    /// The name rules of the scope of this span.
    #[inline]
    fn rules(&mut self) -> RuleSet {
        match self.rules {
            Some((scope, rules)) if is_equal(scope, self.scope) => rules,
            _ => {
                let rules = self.codec.table.rules_of(self.scope);
                self.rules = Some((self.scope, rules));
                rules
            }
        }
    }

    fn intern_once(&mut self, span: &mut Span, slot: usize, name: &[u8]) {
        let (number, overflow) = self.names.intern(name);
        self.columns.overflow += u64::from(overflow);
        if let Some(place) = span.names.get_mut(slot) {
            *place = number;
        }
    }

    #[inline]
    fn intern(&mut self, span: &mut Span, slot: usize, name: &'a [u8]) {
        if let Some(place) = span.names.get_mut(slot).filter(|_| !name.is_empty()) {
            let (number, overflow) = self.intern_name(name);
            *place = number;
            self.columns.overflow += u64::from(overflow);
        }
    }

    /// The number of a name, and whether there was no room for it.
    #[inline]
    pub(crate) fn intern_name(&mut self, name: &'a [u8]) -> (u16, bool) {
        if self.alone || name.is_empty() {
            return self.names.intern(name);
        }
        if self.scratch.recent.is_empty() {
            self.scratch.recent.resize(RECENT, (b"", 0, false));
        }
        let Some(recent) = self.scratch.recent.get_mut(key_hash(name) % RECENT) else {
            return (0, false);
        };
        if !is_equal(recent.0, name) {
            let (number, overflow) = self.names.intern(name);
            *recent = (name, number, overflow);
        }
        (recent.1, recent.2)
    }

    /// Goes through the candidates once: single fields by rank, sources of messages put aside.
    fn choose(&mut self, span: &mut Span) -> Best {
        let mut best = Best { ranks: [0; FIELDS], places: [NOBODY; FIELDS] };
        let payload = self.payload;
        let first_text = self.columns.texts.len();
        let scratch = &mut self.scratch;
        for (place, candidate) in scratch.candidates.iter_mut().enumerate() {
            let Some(entry) = self.codec.table.entry(candidate.entry as usize).filter(|entry| entry.fits(span.kind, self.scope)) else {
                continue;
            };
            if entry.narrow.is_some() {
                if best.rank(entry.goal).is_some_and(|rank| rank <= entry.rank) {
                    continue; // what it yields could not win
                }
                let Some(derived) = entry.derived(candidate.value, payload) else {
                    continue;
                };
                candidate.value = derived;
            }
            let value = candidate.value;
            let yields = match entry.goal {
                Goal::Operation | Goal::Tool | Goal::Model | Goal::Agent | Goal::Conversation | Goal::User => value.text(payload).is_some(),
                Goal::CallId | Goal::Arguments => value.start < value.end,
                Goal::Result => true,
                Goal::InputTokens
                | Goal::OutputTokens
                | Goal::CachedTokens
                | Goal::ReasoningTokens
                | Goal::InputTokensNet
                | Goal::CacheWriteTokens => tokens(&value, payload).is_some(),
                Goal::Cost => amount(&value, payload).is_some(),
                _ => false,
            };
            if yields {
                best.offer(entry.goal, entry.rank, place);
                continue;
            }
            let source = Source { rank: entry.rank, place, goal: entry.goal, value, entry: 0, event: !entry.event().is_empty() };
            match entry.goal {
                Goal::Error if says_error(&value, payload, &entry.values) => span.flags |= rows::ERROR,
                Goal::Refused if matches!(span.kind, TOOL | MCP) && says_error(&value, payload, &entry.values) => {
                    span.step_flags |= rows::REFUSED;
                }
                Goal::Mark => span.flags |= 1 << (rows::MARK_SHIFT + (entry.rank as u32 & 31)).min(31),
                Goal::Output | Goal::OutputMessages => scratch.outputs.push(source),
                Goal::InputMessages => scratch.inputs.push(source),
                Goal::Finish if matches!(span.kind, LLM | EMBEDDING) && is_truncated(&value, &self.values, &entry.values) => {
                    span.step_flags |= rows::TRUNCATED;
                }
                Goal::Declared => declare(&mut self.columns.declared, self.row, payload, &value, DECLARED_JSON),
                Goal::Text => put_text(&mut self.columns.texts, first_text, (self.row, entry.rank), &self.values, &value),
                _ => {}
            }
        }
        best
    }

    fn declare_flat(&mut self, kind: u8) {
        for candidate in &self.scratch.declared {
            if self.codec.table.flat_entry(candidate.entry as usize).is_some_and(|entry| entry.fits(kind, self.scope)) {
                declare(&mut self.columns.declared, self.row, self.payload, &candidate.value, DECLARED_ONE);
            }
        }
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

    fn fill(&mut self, span: &mut Span, best: &Best) {
        let payload = self.payload;
        let get = |goal, candidates: &[Candidate]| best.get(goal, candidates);
        if let Some(value) = get(Goal::CallId, &self.scratch.candidates) {
            span.call_id = hash(&value.plain(payload));
        }
        if let Some(value) = get(Goal::Arguments, &self.scratch.candidates) {
            let arguments = value.bytes(payload);
            span.arguments = hash(arguments);
            span.arguments_len = arguments.len() as u32;
            span.flags |= rows::HAS_ARGUMENTS;
            if matches!(span.kind, TOOL | HANDOFF | RETRIEVER | MCP) {
                span.likeness = self.scratch.printer.shape(arguments);
            }
        }
        if let Some(value) = get(Goal::Result, &self.scratch.candidates) {
            span.result = hash(value.bytes(payload));
            span.result_len = (value.end - value.start) as u32;
            span.flags |= rows::HAS_RESULT;
            if matches!(span.kind, TOOL | MCP) && matches!(value.member, Member::String | Member::Json) {
                if says_no_such_tool(self.codec, value.bytes(payload)) {
                    span.step_flags |= rows::REFUSED;
                }
                self.unwrap_result(span, value.bytes(payload));
            }
        }
        if let Some(value) = get(Goal::Conversation, &self.scratch.candidates) {
            span.conversation_at = value.start as u32;
            span.conversation_len = (value.end - value.start) as u32;
        }
        if let Some(value) = get(Goal::User, &self.scratch.candidates) {
            span.user_at = value.start as u32;
            span.user_len = (value.end - value.start) as u32;
        }
        if let Some(cost) = get(Goal::Cost, &self.scratch.candidates).and_then(|value| amount(&value, payload)) {
            span.cost = cost;
        }
    }

    /// Input tokens always come with the cached ones and those written to a cache; an input less than these cannot have had them.
    fn fill_tokens(&self, span: &mut Span, best: &Best) {
        let count = |goal| best.get(goal, &self.scratch.candidates).and_then(|value| tokens(&value, self.payload)).unwrap_or(-1);
        let [mut input, output, cached, reasoning, written] =
            [Goal::InputTokens, Goal::OutputTokens, Goal::CachedTokens, Goal::ReasoningTokens, Goal::CacheWriteTokens].map(count);
        let extra = cached.max(0).saturating_add(written.max(0));
        if best.rank(Goal::InputTokensNet).is_some_and(|net| best.rank(Goal::InputTokens).is_none_or(|gross| net < gross)) {
            input = count(Goal::InputTokensNet).saturating_add(extra);
        } else if (0..extra).contains(&input) {
            input = input.saturating_add(extra);
        }
        span.tokens = [input, output, cached, reasoning, written];
        if input == 0 && matches!(span.kind, LLM | EMBEDDING) {
            span.tokens = span.tokens.map(|count| if count == 0 { -1 } else { count });
        }
    }
}

/// Appends a row for a value that declares tools, where it can.
fn declare(rows: &mut Vec<u8>, row: u32, payload: &[u8], value: &Value, text: u8) {
    let how = match value.member {
        Member::String | Member::Json => text,
        Member::Array | Member::KvList => DECLARED_VALUE,
        _ => return,
    };
    let content = value.bytes(payload);
    if !content.is_empty() {
        let how = if value.escaped { how | DECLARED_ESCAPED } else { how };
        rows.extend_from_slice(&rows::pack_declared(row, (value.start as u32, content.len() as u32), how, hash(content)));
    }
}
