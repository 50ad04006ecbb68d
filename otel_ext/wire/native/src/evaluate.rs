//! From the attributes of one span to its row: kind, then name rules, then the other fields, each by rank and then place on the wire.

use memchr::arch::all::is_equal;

use crate::candidates::{Best, Candidate, RECENT, Source};
use crate::envelope::Envelope;
use crate::keys::{Goal, RuleSet};
use crate::names::hash;
use crate::rows::{self, EMBEDDING, HANDOFF, LLM, MCP, RETRIEVER, Span, TOOL};
use crate::scan::{Head, Scanner};
use crate::sources::{id_hash, says_no_such_tool};
use crate::table::key_hash;
use crate::telling::{DECLARED_JSON, DECLARED_ONE, declare, is_truncated, put_text, says_error};
use crate::value::{Member, amount, tokens};

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
        let mut best = Best::default();
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
