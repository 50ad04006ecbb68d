//! Chat messages in a JSON text, skimmed: only what the rules need, nothing is built.
//!
//! Which shapes are read, and what of a text that was cut off, is listed in `otel_ext/wire/messages.py`, which does the same, step by step.

use crate::roles::{Kind, Role, Where};
use crate::skim::{Json, Skim};

const DEPTH_MAX: usize = 16;
const RECENT: usize = 32; // requests among which one that comes twice is looked for
/// An answer has one of these in it.
pub const GUARDS: [&[u8]; 3] = [b"\"tool", b"\"function", b"\"call_id\""];

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

#[derive(Default)]
struct Slots<'a> {
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
}

impl<'a> Slots<'a> {
    #[inline]
    fn place(&mut self, role: Role) -> Option<&mut Option<Json<'a>>> {
        Some(match role {
            Role::Content => &mut self.content,
            Role::Text => &mut self.text,
            Role::Id => &mut self.id,
            Role::CallId => &mut self.call_id,
            Role::ToolCallId => &mut self.tool_call_id,
            Role::Name => &mut self.name,
            Role::Arguments => &mut self.arguments,
            Role::Input => &mut self.input,
            Role::Response => &mut self.response,
            Role::Result => &mut self.result,
            Role::Output => &mut self.output,
            _ => return None,
        })
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
#[expect(clippy::struct_excessive_bools)] // each is one observation
struct Object<'a> {
    slots: Slots<'a>,
    call: Option<Box<Slots<'a>>>,   // inside of it
    answer: Option<Box<Slots<'a>>>, // inside of it
    kind: Kind,
    typed: bool, // has a type, whatever that is
    known: bool,
    told: bool,         // its text was taken, or was inside of it
    builtin: bool,      // a call that the provider executed itself
    strange: [bool; 2], // a refusal, a voice
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
        let role = Role::of(key);
        match skim.byte(at)? {
            first @ (b'{' | b'[') => self.nested(skim, one, role, at, place, first == b'['),
            _ => self.slot(skim, one, role, at, place),
        }
    }

    fn nested(&mut self, skim: Skim<'a>, one: &mut Object<'a>, role: Role, at: usize, place: Where, list: bool) -> Option<usize> {
        let descends = match role {
            Role::Content => true,
            Role::Parts | Role::Blocks | Role::List => list,
            Role::Object => !list,
            Role::Output => place.depth == 0 && !one.typed,
            _ => false,
        };
        if descends && !one.kind.answers() {
            let part = list && matches!(role, Role::Parts | Role::Blocks | Role::Content);
            let end = self.value(skim, at, Where { depth: place.depth + 1, part, call: false })?;
            if matches!(role, Role::Content | Role::Blocks | Role::Parts) {
                one.slots.content = Some(Json { raw: skim.between(at, end), is_string: false });
            }
            (one.known, one.told) = (true, true);
            return Some(end);
        }
        match role {
            Role::ToolCalls if list && self.outputs => {
                one.known = true;
                self.value(skim, at, Where { depth: place.depth + 1, part: true, call: true })
            }
            Role::Beside if !list => {
                let mut beside = Slots::default();
                let end = Self::inner(skim, at, &mut beside)?;
                one.slots.tool_call_id = one.slots.tool_call_id.or(beside.tool_call_id);
                Some(end)
            }
            Role::Call | Role::Answer if !list => {
                let mut inner = Box::<Slots>::default();
                let end = Self::inner(skim, at, &mut inner)?;
                *(if role == Role::Call { &mut one.call } else { &mut one.answer }) = Some(inner);
                Some(end)
            }
            _ => self.slot(skim, one, role, at, place),
        }
    }

    fn inner(skim: Skim<'a>, at: usize, slots: &mut Slots<'a>) -> Option<usize> {
        skim.members(at, |key, at| match (Role::of(key), skim.byte(at)?) {
            (Role::Origin, b'{') => skim.members(at, |key, at| Self::take(skim, at, slots.place(Role::of(key)))),
            (role, _) => Self::take(skim, at, slots.place(role)),
        })
    }

    fn take(skim: Skim<'a>, at: usize, slot: Option<&mut Option<Json<'a>>>) -> Option<usize> {
        match slot {
            Some(slot) => skim.take(at, slot),
            None => skim.skip(at),
        }
    }

    #[inline]
    fn slot(&mut self, skim: Skim<'a>, one: &mut Object<'a>, role: Role, at: usize, place: Where) -> Option<usize> {
        if let Some(slot) = one.slots.place(role) {
            let end = skim.take(at, slot)?;
            if role == Role::Content {
                self.content(one, place);
            }
            return Some(end);
        }
        let end = skim.skip(at)?;
        match role {
            Role::Type => {
                let text = (skim.byte(at) == Some(b'"')).then(|| skim.between(at + 1, end - 1));
                (one.typed, one.kind) = (true, Kind::of(text));
            }
            Role::ToolCalls => one.known = true,
            Role::Builtin => one.builtin = skim.between(at, end) == b"true",
            Role::Refusal => one.strange[0] = skim.between(at, end) != b"null",
            Role::Audio => one.strange[1] = skim.between(at, end) != b"null",
            _ => {}
        }
        Some(end)
    }

    /// A `content` that was not gone into.
    fn content(&mut self, one: &mut Object<'a>, place: Where) {
        one.known = true;
        let telling = if place.part { one.kind == Kind::Text } else { one.kind != Kind::Silent && !one.kind.answers() };
        if let Some(text) = one.slots.content.and_then(Json::string).filter(|_| telling) {
            one.told = true;
            self.text(text);
        }
    }

    /// Decides what a complete object was.
    fn close(&mut self, one: &Object<'a>, place: Where) {
        let slots = &one.slots;
        match one.kind {
            _ if one.builtin => {}
            _ if one.call.is_some() || place.call => self.request(slots, one.call.as_deref()),
            Kind::Call => self.request(slots, None),
            Kind::None if slots.is_call() && slots.first_response().is_none() => self.request(slots, None),
            _ if one.answer.is_some() => self.answer(one.answer.as_deref().unwrap_or(slots), false),
            Kind::Response | Kind::Answer => self.answer(slots, one.kind == Kind::Response),
            Kind::None if slots.call_id.is_some() && slots.first_response().is_some() => self.answer(slots, false),
            _ => match slots.tool_call_id.and_then(Json::present) {
                Some(id) => self.answered(Some(id), slots.content.map_or(b"", |content| content.raw)),
                None => self.tell(one, place.part),
            },
        }
    }

    fn tell(&mut self, one: &Object<'a>, part: bool) {
        self.strange |= one.strange != [false; 2];
        if one.told || one.kind == Kind::Silent {
            return;
        }
        let text = one.slots.text.and_then(Json::string);
        let text = match one.kind {
            Kind::Text => one.slots.content.and_then(Json::string).or(text),
            Kind::None => text,
            _ => None,
        };
        match text {
            Some(text) => self.text(text),
            None => self.strange |= part || !one.known,
        }
    }

    fn request(&mut self, outer: &Slots<'a>, inner: Option<&Slots<'a>>) {
        if !self.outputs {
            return;
        }
        let inner = inner.unwrap_or(outer);
        let call_id = inner.call_id.or(outer.call_id).and_then(Json::present);
        let id = call_id.or(inner.id.or(outer.id).and_then(Json::present));
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
