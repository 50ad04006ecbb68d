//! Chat messages in a JSON text, skimmed: only what the rules need, nothing is built.
//!
//! Which shapes are read, and what of a text that was cut off, is listed in `otel_ext/wire/messages.py`, which does the same, step by step.

use crate::skim::{Json, Skim};

const DEPTH_MAX: usize = 16;
const RECENT: usize = 32; // requests among which one that comes twice is looked for
/// An answer has one of these in it.
pub const GUARDS: [&[u8]; 7] =
    [b"tool_call", b"tool_use_id", b"toolUseId", b"toolCallId", b"unction_response", b"unctionResponse", b"function_call_output"];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request<'a> {
    pub name: Option<&'a [u8]>,
    pub id: Option<Json<'a>>,
    pub arguments: Option<Json<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    pub id: Option<Json<'a>>,
    pub response: &'a [u8],
}

/// What was read; `outputs` says which side is wanted: texts and requests, or answers. `whole`: it was read to its end, and nothing in it
/// may be an output of a kind that is not read here.
#[derive(Debug, Default)]
pub struct Messages<'a> {
    pub outputs: bool,
    pub whole: bool,
    pub texts: Vec<&'a [u8]>,
    pub requests: Vec<Request<'a>>,
    pub answers: Vec<Answer<'a>>,
    strange: bool,
}

/// Where an object stands.
#[derive(Clone, Copy, Default)]
struct Where {
    depth: usize,
    part: bool, // in a list of parts
    call: bool, // in a list of calls
}

impl Where {
    fn inside(self) -> Self {
        Self { depth: self.depth + 1, ..self }
    }
}

#[derive(Clone, Copy, Default)]
struct Slots<'a> {
    kind: Option<Json<'a>>,
    content: Option<Json<'a>>,
    text: Option<Json<'a>>,
    id: Option<Json<'a>>,
    call_id: Option<Json<'a>>,
    tool_call_id: Option<Json<'a>>,
    name: Option<Json<'a>>,
    arguments: Option<Json<'a>>,
    input: Option<Json<'a>>,
    response: Option<Json<'a>>,
    result: Option<Json<'a>>,
    output: Option<Json<'a>>,
    refusal: bool, // there is one
    audio: bool,
    builtin: bool, // a call that the provider executed itself
}

impl<'a> Slots<'a> {
    #[inline]
    fn place(&mut self, key: &[u8]) -> Option<&mut Option<Json<'a>>> {
        Some(match key {
            b"type" => &mut self.kind,
            b"content" => &mut self.content,
            b"text" => &mut self.text,
            b"id" => &mut self.id,
            b"call_id" | b"toolCallId" | b"toolUseId" | b"tool_use_id" => &mut self.call_id,
            b"tool_call_id" => &mut self.tool_call_id,
            b"name" | b"toolName" | b"tool_name" => &mut self.name,
            b"arguments" | b"args" => &mut self.arguments,
            b"input" => &mut self.input,
            b"response" => &mut self.response,
            b"result" => &mut self.result,
            b"output" => &mut self.output,
            _ => return None,
        })
    }

    fn kind(&self) -> Option<&'a [u8]> {
        self.kind.and_then(Json::string)
    }

    fn call(&self) -> Option<Json<'a>> {
        self.call_id.and_then(Json::present).or(self.id.and_then(Json::present))
    }

    fn first_response(&self) -> Option<Json<'a>> {
        self.response.or(self.result).or(self.output).or(self.content)
    }

    /// Whether an object without a type and without a result is a call: it has a name, and arguments or the id of a call.
    fn is_call(&self) -> bool {
        self.name.and_then(Json::string).is_some() && (self.arguments.is_some() || self.call_id.is_some())
    }
}

/// What was seen of an object.
#[derive(Default)]
struct Object<'a> {
    slots: Slots<'a>,
    call: Option<Box<Slots<'a>>>,   // inside of it
    answer: Option<Box<Slots<'a>>>, // inside of it
    known: bool,
    told: bool, // its text was taken, or was inside of it
}

fn is_list(key: &[u8]) -> bool {
    matches!(key, b"parts" | b"content" | b"contents" | b"messages" | b"choices" | b"candidates" | b"generations" | b"replies" | b"blocks")
}

fn is_object(key: &[u8]) -> bool {
    matches!(key, b"message" | b"kwargs" | b"content" | b"data")
}

fn is_call(key: &[u8]) -> bool {
    matches!(key, b"function" | b"function_call" | b"functionCall" | b"toolUse" | b"tool_call")
}

fn is_answer(key: &[u8]) -> bool {
    matches!(key, b"functionResponse" | b"function_response" | b"toolResult" | b"tool_call_result")
}

fn calls(kind: Option<&[u8]>) -> bool {
    matches!(kind, Some(b"tool_call" | b"tool_use" | b"tool-call" | b"function_call" | b"function"))
}

fn answers(kind: Option<&[u8]>) -> bool {
    matches!(kind, Some(b"tool_call_response" | b"tool_result" | b"tool-result" | b"function_call_output"))
}

fn texts(kind: Option<&[u8]>) -> bool {
    matches!(kind, Some(b"text" | b"output_text"))
}

fn silent(kind: Option<&[u8]>) -> bool {
    matches!(kind, Some(b"reasoning" | b"thinking" | b"redacted_thinking"))
}

impl<'a> Messages<'a> {
    pub fn read(&mut self, json: &'a [u8], outputs: bool) {
        self.outputs = outputs;
        self.texts.clear();
        self.requests.clear();
        self.answers.clear();
        self.strange = false;
        let skim = Skim { json };
        // None: stopped at a fault, which is allowed.
        let end = self.document(skim).map(|end| skim.blanks(end));
        self.whole = end == Some(json.len()) && !self.strange;
    }

    fn document(&mut self, skim: Skim<'a>) -> Option<usize> {
        let at = skim.blanks(0);
        if matches!(skim.byte(at)?, b'{' | b'[' | b'"') {
            return self.value(skim, at, Where::default());
        }
        let end = skim.json.len();
        let null = skim.json.get(at..at + 4) == Some(b"null") && skim.blanks(at + 4) == end;
        if !null {
            self.text(skim.json);
        }
        Some(end)
    }

    fn text(&mut self, raw: &'a [u8]) {
        if self.outputs {
            self.texts.push(raw);
        }
    }

    fn value(&mut self, skim: Skim<'a>, at: usize, place: Where) -> Option<usize> {
        let first = skim.byte(at)?;
        if place.depth > DEPTH_MAX {
            return skim.skip(at);
        }
        match first {
            b'{' => self.object(skim, at, place),
            b'[' => skim.items(at, |item| self.value(skim, item, place.inside())),
            b'"' if !place.call => {
                let end = skim.skip(at)?;
                self.text(skim.between(at + 1, end - 1));
                Some(end)
            }
            _ => skim.skip(at),
        }
    }

    fn object(&mut self, skim: Skim<'a>, at: usize, place: Where) -> Option<usize> {
        let mut one = Object::default();
        let end = skim.members(at, |key, at| self.member(skim, &mut one, key, at, place))?;
        self.close(&one, place);
        Some(end)
    }

    fn member(&mut self, skim: Skim<'a>, one: &mut Object<'a>, key: &'a [u8], at: usize, place: Where) -> Option<usize> {
        match skim.byte(at)? {
            first @ (b'{' | b'[') => self.nested(skim, one, key, at, place, first == b'['),
            _ => self.slot(skim, one, key, at, place),
        }
    }

    fn nested(&mut self, skim: Skim<'a>, one: &mut Object<'a>, key: &'a [u8], at: usize, place: Where, list: bool) -> Option<usize> {
        let top = place.depth == 0 && key == b"output" && one.slots.kind.is_none();
        let descends = top || if list { is_list(key) } else { is_object(key) };
        if descends && !answers(one.slots.kind()) {
            let part = list && matches!(key, b"parts" | b"content" | b"contents" | b"blocks");
            let end = self.value(skim, at, Where { depth: place.depth + 1, part, call: false })?;
            if matches!(key, b"content" | b"blocks") {
                one.slots.content = Some(Json { raw: skim.between(at, end), is_string: false });
            }
            (one.known, one.told) = (true, true);
            return Some(end);
        }
        if key == b"tool_calls" && list && self.outputs {
            one.known = true;
            return self.value(skim, at, Where { depth: place.depth + 1, part: true, call: true });
        }
        if key == b"additional_kwargs" && !list {
            let mut beside = Slots::default();
            let end = Self::inner(skim, at, &mut beside)?;
            one.slots.tool_call_id = one.slots.tool_call_id.or(beside.tool_call_id);
            return Some(end);
        }
        if list || !(is_call(key) || is_answer(key)) {
            return self.slot(skim, one, key, at, place);
        }
        let mut inner = Box::<Slots>::default();
        let end = Self::inner(skim, at, &mut inner)?;
        *(if is_call(key) { &mut one.call } else { &mut one.answer }) = Some(inner);
        Some(end)
    }

    fn inner(skim: Skim<'a>, at: usize, slots: &mut Slots<'a>) -> Option<usize> {
        skim.members(at, |key, at| {
            if key == b"origin" && skim.byte(at)? == b'{' {
                return skim.members(at, |key, at| Self::take(skim, at, slots.place(key)));
            }
            Self::take(skim, at, slots.place(key))
        })
    }

    fn take(skim: Skim<'a>, at: usize, slot: Option<&mut Option<Json<'a>>>) -> Option<usize> {
        match slot {
            Some(slot) => skim.take(at, slot),
            None => skim.skip(at),
        }
    }

    fn slot(&mut self, skim: Skim<'a>, one: &mut Object<'a>, key: &'a [u8], at: usize, place: Where) -> Option<usize> {
        let Some(slot) = one.slots.place(key) else {
            let end = skim.skip(at)?;
            match key {
                b"tool_calls" => one.known = true,
                b"builtin" => one.slots.builtin = skim.between(at, end) == b"true",
                b"refusal" => one.slots.refusal = skim.between(at, end) != b"null",
                b"audio" => one.slots.audio = skim.between(at, end) != b"null",
                _ => {}
            }
            return Some(end);
        };
        let end = skim.take(at, slot)?;
        if key == b"content" {
            one.known = true;
            let kind = one.slots.kind();
            let telling = if place.part { texts(kind) } else { !silent(kind) && !answers(kind) };
            if let Some(text) = one.slots.content.and_then(Json::string).filter(|_| telling) {
                one.told = true;
                self.text(text);
            }
        }
        Some(end)
    }

    /// Decides what a complete object was.
    fn close(&mut self, one: &Object<'a>, place: Where) {
        let slots = &one.slots;
        let kind = slots.kind();
        let has_result = slots.first_response().is_some();
        let nameless = kind.is_none();
        if slots.builtin {
            return;
        }
        if one.call.is_some() || place.call || calls(kind) || nameless && !has_result && slots.is_call() {
            self.request(slots, one.call.as_deref().unwrap_or(&Slots::default()));
        } else if let Some(answer) = &one.answer {
            self.answer(answer, false);
        } else if answers(kind) || nameless && slots.call_id.is_some() && has_result {
            self.answer(slots, kind == Some(b"tool_call_response"));
        } else if let Some(id) = slots.tool_call_id.and_then(Json::present) {
            self.answered(Some(id), slots.content.map_or(b"", |content| content.raw));
        } else {
            self.tell(one, kind, place.part);
        }
    }

    fn tell(&mut self, one: &Object<'a>, kind: Option<&'a [u8]>, part: bool) {
        self.strange |= one.slots.refusal || one.slots.audio;
        if one.told || silent(kind) {
            return;
        }
        let mut text = one.slots.text.and_then(Json::string);
        if texts(kind) {
            text = one.slots.content.and_then(Json::string).or(text);
        }
        match text {
            Some(text) if kind.is_none() || texts(kind) => self.text(text),
            _ => self.strange |= part || !one.known,
        }
    }

    fn request(&mut self, outer: &Slots<'a>, inner: &Slots<'a>) {
        if !self.outputs {
            return;
        }
        let merged = Slots { call_id: inner.call_id.or(outer.call_id), id: inner.id.or(outer.id), ..Slots::default() };
        let id = merged.call();
        let recent = self.requests.get(self.requests.len().saturating_sub(RECENT)..).unwrap_or_default();
        if id.is_some_and(|id| !id.raw.is_empty()) && recent.iter().any(|request| request.id == id) {
            return;
        }
        let arguments = inner.arguments.or(outer.arguments).or(inner.input).or(outer.input).and_then(Json::present);
        self.requests.push(Request { name: inner.name.or(outer.name).and_then(Json::string), id, arguments });
    }

    fn answer(&mut self, slots: &Slots<'a>, always: bool) {
        let id = slots.call();
        if id.is_some() || always {
            self.answered(id, slots.first_response().map_or(b"", |response| response.raw));
        }
    }

    fn answered(&mut self, id: Option<Json<'a>>, response: &'a [u8]) {
        if !self.outputs {
            self.answers.push(Answer { id, response });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_requests_of_several_shapes() {
        let json = br#"[{"role":"assistant","parts":[{"type":"text","content":"a\"b"},
            {"type":"tool_call","id":"1","name":"f","arguments":{"x":[1]}}]},
            {"content":"c","tool_calls":[{"id":"2","function":{"name":"g","arguments":"{}"}}]},
            {"content":[{"type":"tool_use","id":"2","name":"g"},{"toolUse":{"toolUseId":"3","name":"h","input":1}}]}]"#;
        let mut messages = Messages::default();
        messages.read(json, true);
        assert_eq!(messages.texts, [br#"a\"b"#.as_slice(), b"c"]);
        let names: Vec<_> = messages.requests.iter().filter_map(|request| request.name).collect();
        assert_eq!(names, [b"f", b"g", b"h"]);
        assert_eq!(messages.requests.first().and_then(|request| request.arguments).map(|json| json.raw), Some(br#"{"x":[1]}"#.as_slice()));
        assert!(messages.whole);
    }

    #[test]
    fn a_cut_text_keeps_what_was_complete() {
        let json = br#"[{"parts":[{"type":"tool_call_response","id":"1","result":"no"},{"type":"tool_call_response","id":"2","#;
        let mut messages = Messages::default();
        for end in 0..=json.len() {
            messages.read(json.get(..end).unwrap_or_default(), false);
            assert!(messages.answers.len() <= 1 && !messages.whole);
        }
        assert_eq!(messages.answers.len(), 1);
    }
}
