//! The Python face: arguments in, one call, one error map. `otel_ext/wire/_native.pyi` documents it.

use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};

use crate::codec::{Codec, Columns, One, Own, Text};
use crate::finder::Finder;
use crate::keys::{Entry, GOALS, Kinds, Narrow, Rule};
use crate::memory;
use crate::notes::{Notes, Role, SLOTS_MAX, Table as NoteTable};
use crate::numbers;
use crate::places::Step;
use crate::reader;
use crate::rewrite::{Column, Failure, Projection, plan};
use crate::rows;
use crate::table::{Limits, Table};

type Bytes<'py> = Option<Bound<'py, PyBytes>>;
type Str<'py> = Option<Bound<'py, PyString>>;
// Kind and name of the step; the step; agent and service of the span; requests; answers; conversation; texts; what few tell.
type Single<'py> =
    Option<(u8, u16, Bound<'py, PyBytes>, u16, u16, Bytes<'py>, Bytes<'py>, Str<'py>, Option<Vec<(i32, Py<PyAny>)>>, Option<More<'py>>)>;
type More<'py> = (Str<'py>, Str<'py>, Option<Vec<(u8, u64, Bound<'py, PyBytes>)>>);

pyo3::create_exception!(_native, Malformed, PyValueError);

// Name, field, rank, values, kinds; scope, event, path and between.
type KeyArgument = (Vec<u8>, usize, i32, Vec<(Vec<u8>, i64)>, Vec<u8>, NarrowArgument);
type NarrowArgument = (Vec<u8>, Vec<u8>, Option<Vec<StepArgument>>, Option<(Vec<u8>, Vec<u8>)>);
type RuleArgument = (Vec<u8>, Option<u8>, Option<usize>, Vec<u8>, Vec<u8>, Vec<u8>);
#[derive(FromPyObject)]
enum StepArgument {
    Member(Vec<u8>),
    Item(usize),
}

fn narrow((scope, event, path, between): NarrowArgument) -> Option<Box<Narrow>> {
    let step = |step| match step {
        StepArgument::Member(name) => Step::Member(name),
        StepArgument::Item(number) => Step::Item(number),
    };
    let path = path.map(|path| path.into_iter().map(step).collect());
    let narrow = Narrow { scope, event, path, between };
    (narrow != Narrow::default()).then(|| Box::new(narrow))
}

#[derive(FromPyObject)]
enum ColumnArgument {
    Ragged(PyBackedBytes, PyBackedBytes), // first: an empty `bytes` is also an empty list
    Fragments(PyBackedBytes, Vec<PyBackedBytes>),
    Ids(PyBackedBytes, PyBackedBytes, PyBackedBytes, bool),
}

impl ColumnArgument {
    fn column(&self) -> Column<'_, PyBackedBytes> {
        match self {
            Self::Fragments(indices, fragments) => Column::Fragments { indices, fragments },
            Self::Ids(mask, before, after, of_span) => Column::Ids { mask, before, after, of_span: *of_span },
            Self::Ragged(offsets, data) => Column::Ragged { offsets, data },
        }
    }
}

type Arrays<'py> = (
    [Bound<'py, PyBytes>; 8], // spans, steps, step rows, groups, requests, answers, declared, scopes
    Bound<'py, PyList>,
    Vec<(u32, i32, Py<PyAny>)>,
    u64,
);

#[expect(clippy::needless_pass_by_value, clippy::boxed_local)] // the shape that map_err wants
fn malformed(error: Box<reader::Malformed>) -> PyErr {
    Malformed::new_err((error.reason.to_string(), error.at))
}

fn failure(error: Failure) -> PyErr {
    match error {
        Failure::Malformed(error) => malformed(error),
        Failure::Arguments(message) => PyValueError::new_err(message),
    }
}

fn text(py: Python<'_>, text: Text) -> PyResult<Py<PyAny>> {
    match text {
        Text::One(text) => text.into_pyobject(py).map(|text| text.into_any().unbind()).map_err(PyErr::from),
        Text::Many(texts) => texts.into_pyobject(py).map(Bound::unbind),
    }
}

fn text_at<'py>(py: Python<'py>, buffer: &[u8], range: std::ops::Range<usize>) -> Str<'py> {
    let text = buffer.get(range).filter(|text| !text.is_empty());
    text.map(|text| PyString::new(py, &String::from_utf8_lossy(text)))
}

/// What few spans in memory tell.
fn more<'py>(py: Python<'py>, buffer: &[u8], one: &One) -> Option<More<'py>> {
    let user = text_at(py, buffer, one.span.user());
    let output = if one.span.flags & rows::CLAIM == 0 { None } else { text_at(py, buffer, one.span.output_value()) };
    let tools =
        rows::declared(&one.declared).map(|(range, how, hash)| (how, hash, PyBytes::new(py, buffer.get(range).unwrap_or_default())));
    let tools = (!one.declared.is_empty()).then(|| tools.collect::<Vec<_>>());
    (user.is_some() || output.is_some() || tools.is_some()).then_some((user, output, tools))
}

// Boxed: the finders in it want 32-byte alignment, and CPython's allocator gives objects 16. Inline, a scan crashed.
#[pyclass(frozen, name = "Codec")]
struct PyCodec(Box<Codec>);

#[pymethods]
impl PyCodec {
    #[new]
    #[expect(clippy::needless_pass_by_value)]
    fn new(
        keys: Vec<KeyArgument>,
        rules: Vec<RuleArgument>,
        limits: [usize; 5],
        markers: [Vec<Vec<u8>>; 2],
        claims: Vec<Vec<u8>>,
    ) -> PyResult<Self> {
        let goal = |number: usize| GOALS.get(number).copied().ok_or_else(|| PyValueError::new_err(format!("there is no field {number}")));
        let entry = |(name, field, rank, values, kinds, narrowed): KeyArgument| {
            Ok(Entry { name, goal: goal(field)?, rank, values, kinds: Kinds::new(&kinds), narrow: narrow(narrowed) })
        };
        let rule = |(prefix, kind, take, kinds, scope, suffix): RuleArgument| {
            Ok(Rule { prefix, kind, take: take.map(goal).transpose()?, kinds: Kinds::new(&kinds), scope, suffix })
        };
        let keys = keys.into_iter().map(entry).collect::<PyResult<_>>()?;
        let rules = rules.into_iter().map(rule).collect::<PyResult<Vec<_>>>()?;
        let [depth_max, names_max, name_bytes_max, requests_max, answers_max] = limits;
        let limits = Limits { depth_max, names_max, name_bytes_max, requests_max, answers_max };
        Ok(Self(Box::new(Codec::new(Table::new(keys, rules), limits, markers, &claims))))
    }

    fn scan<'py>(&self, py: Python<'py>, payload: &[u8]) -> PyResult<Arrays<'py>> {
        let columns = py.detach(|| self.0.scan(payload)).map_err(malformed)?;
        let Columns { spans, steps, step_rows, groups, requests, answers, declared, scopes, trace_ids, texts, overflow } = columns;
        let ids = PyList::new(py, trace_ids.iter().map(|id| PyBytes::new(py, id)))?;
        let texts = texts.into_iter().map(|(row, number, value)| Ok((row, number, text(py, value)?))).collect::<PyResult<_>>()?;
        let arrays = [spans, steps, step_rows, groups, requests, answers, declared, scopes];
        Ok((arrays.map(|array| PyBytes::new(py, &array)), ids, texts, overflow))
    }

    /// The interpreter stays locked: a span is read in less time than it takes to get it back.
    #[pyo3(signature = (name, scope, service, span_id, start, end, status, attributes, inputs, parent_id=0, kind=0, cut=false, events=None, /))]
    #[expect(clippy::too_many_arguments, clippy::needless_pass_by_value)] // flat: building one object a span would cost as much as the scan
    fn span<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, PyString>,
        scope: &[u8],
        service: &[u8],
        span_id: u64,
        start: u64,
        end: u64,
        status: u8,
        attributes: &Bound<'py, PyDict>,
        inputs: bool,
        parent_id: u64,
        kind: u32,
        cut: bool,
        events: Option<Vec<(Bound<'py, PyString>, Bound<'py, PyDict>)>>,
    ) -> PyResult<Single<'py>> {
        let name = name.to_string_lossy();
        let own = Own { name: name.as_bytes(), scope, service, span_id, start, end, status, parent_id, kind, cut };
        let mut taken = memory::Taken::new(&self.0.table, inputs);
        taken.take(attributes);
        for (name, attributes) in events.iter().flatten() {
            taken.take_event(name, attributes);
        }
        let Some(one) = self.0.scan_one(&taken.buffer, &taken.attributes, &own) else {
            return Ok(None);
        };
        // Nothing is built for what is not there: most spans ask for no call, and an empty list costs as much as a full one.
        let array = |array: &[u8]| (!array.is_empty()).then(|| PyBytes::new(py, array));
        let conversation = text_at(py, &taken.buffer, one.span.conversation());
        let more = more(py, &taken.buffer, &one);
        let texts = one.texts.into_iter().map(|(_, number, value)| Ok((number, text(py, value)?))).collect::<PyResult<Vec<_>>>()?;
        let texts = (!texts.is_empty()).then_some(texts);
        let [_, _, _, agent, service] = one.span.names;
        let step = PyBytes::new(py, &one.step.pack());
        Ok(Some((one.step.kind, one.step.name, step, agent, service, array(&one.requests), array(&one.answers), conversation, texts, more)))
    }

    fn name(&self, number: usize) -> PyResult<String> {
        let names = self.0.names();
        names.name(number).map(str::to_owned).ok_or_else(|| PyIndexError::new_err(format!("there is no name {number}")))
    }

    fn intern(&self, name: &[u8]) -> u16 {
        self.0.names().intern(name).0
    }
}

type Slots = Vec<(Vec<u8>, Vec<Vec<u8>>)>;
type Setter<'a> = (&'a [Vec<u8>], fn(&mut Role));

#[pyclass(name = "Notes")]
struct PyNotes(Box<Notes>);

#[pymethods]
impl PyNotes {
    #[new]
    #[expect(clippy::too_many_arguments, clippy::needless_pass_by_value)]
    fn new(
        slots: Slots,
        tags: (Vec<u8>, Vec<Vec<u8>>),
        name: i64,
        groups: [Vec<Vec<u8>>; 5],
        words: Slots,
        lengths: Vec<(Vec<u8>, usize)>,
        pairs: Vec<(Vec<u8>, Vec<u8>)>,
        neutral: Vec<u8>,
        limits: (usize, usize),
    ) -> PyResult<Self> {
        if slots.len() > SLOTS_MAX || pairs.len() > 16 {
            return Err(PyValueError::new_err(format!("over {SLOTS_MAX} slots, or over 16 pairs")));
        }
        let [usage, explicit, integers, plain, message] = groups;
        let (traces_max, span_bytes_max) = limits;
        let mut table = NoteTable { name: usize::try_from(name).ok(), usage, neutral, traces_max, span_bytes_max, ..NoteTable::default() };
        for (slot, (target, keys)) in slots.into_iter().enumerate() {
            table.targets.push(target);
            for key in &keys {
                table.role(key).slot = Some(slot);
            }
        }
        table.tags = tags.0;
        let groups: [Setter; 5] = [
            (&tags.1, |role| role.tags = true),
            (&explicit, |role| role.explicit = true),
            (&integers, |role| role.integer = true),
            (&plain, |role| role.plain = true),
            (&message, |role| role.message = true),
        ];
        for (keys, set) in groups {
            for key in keys {
                set(table.role(key));
            }
        }
        for (key, words) in words {
            table.role(&key).words = Some(words);
        }
        for (key, length) in &lengths {
            table.role(key).length = Some(*length);
        }
        for (number, (one, other)) in pairs.iter().enumerate() {
            let bits = (1 << (2 * number), 2 << (2 * number));
            table.role(one).pairs |= bits.0;
            table.role(other).pairs |= bits.1;
            table.pairs.push(bits);
        }
        Ok(Self(Box::new(Notes::new(table))))
    }

    #[expect(clippy::needless_pass_by_value)]
    fn take<'py>(
        &mut self,
        py: Python<'py>,
        payload: &[u8],
        rows: &[u8],
        ranges: Vec<PyBackedBytes>,
    ) -> PyResult<[Bound<'py, PyBytes>; 5]> {
        let ranges: Vec<&[u8]> = ranges.iter().map(AsRef::as_ref).collect();
        let noted = py.detach(|| self.0.take(payload, rows, &ranges)).map_err(malformed)?.map_err(PyValueError::new_err)?;
        Ok([&noted.offsets, &noted.data, &noted.cuts, &noted.looks, &noted.resources].map(|bytes| PyBytes::new(py, bytes)))
    }

    fn forgotten(&self) -> u64 {
        self.0.forgotten
    }
}

#[pyfunction]
#[expect(clippy::needless_pass_by_value)]
fn counts<'py>(
    py: Python<'py>,
    key: &[u8],
    names: Vec<Vec<u8>>,
    columns: Vec<PyBackedBytes>,
) -> (Bound<'py, PyBytes>, Bound<'py, PyBytes>) {
    let columns: Vec<&[u8]> = columns.iter().map(AsRef::as_ref).collect();
    let (offsets, data) = numbers::counts(key, &names, &columns);
    (PyBytes::new(py, &offsets), PyBytes::new(py, &data))
}

#[pyfunction]
fn billionths<'py>(py: Python<'py>, key: &[u8], name: &[u8], column: &[u8]) -> (Bound<'py, PyBytes>, Bound<'py, PyBytes>) {
    let (offsets, data) = numbers::billionths(key, name, column);
    (PyBytes::new(py, &offsets), PyBytes::new(py, &data))
}

// Boxed for the same reason as Codec.
#[pyclass(frozen, name = "Finder")]
struct PyFinder(Box<Finder>);

#[pymethods]
impl PyFinder {
    #[new]
    #[expect(clippy::needless_pass_by_value)]
    fn new(words: Vec<(Vec<u8>, u8)>) -> PyResult<Self> {
        Finder::new(&words).map(|finder| Self(Box::new(finder))).map_err(PyValueError::new_err)
    }

    fn find<'py>(&self, py: Python<'py>, payload: &[u8]) -> Bound<'py, PyBytes> {
        let found = py.detach(|| self.0.find(payload));
        PyBytes::new(py, &found)
    }
}

fn rewrite<'py>(
    py: Python<'py>,
    payload: &[u8],
    columns: &[ColumnArgument],
    projection: Option<Projection<'_>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let columns: Vec<_> = columns.iter().map(ColumnArgument::column).collect();
    let plan = py.detach(|| plan(payload, &columns, projection)).map_err(failure)?;
    PyBytes::new_with(py, plan.size, |out| {
        plan.write(out);
        Ok(())
    })
}

#[pyfunction]
#[expect(clippy::needless_pass_by_value)]
fn splice<'py>(py: Python<'py>, payload: &[u8], columns: Vec<ColumnArgument>) -> PyResult<Bound<'py, PyBytes>> {
    rewrite(py, payload, &columns, None)
}

#[pyfunction]
#[expect(clippy::needless_pass_by_value)]
fn project<'py>(
    py: Python<'py>,
    payload: &[u8],
    keep: &[u8],
    parents: &[u8],
    columns: Vec<ColumnArgument>,
    cuts: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    rewrite(py, payload, &columns, Some(Projection { keep, parents, cuts }))
}

#[pymodule(gil_used = false)]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("Malformed", module.py().get_type::<Malformed>())?;
    module.add_class::<PyCodec>()?;
    module.add_class::<PyFinder>()?;
    module.add_class::<PyNotes>()?;
    module.add_function(wrap_pyfunction!(counts, module)?)?;
    module.add_function(wrap_pyfunction!(billionths, module)?)?;
    module.add_function(wrap_pyfunction!(splice, module)?)?;
    module.add_function(wrap_pyfunction!(project, module)?)
}
