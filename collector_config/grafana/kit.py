"""Panels in one line each: what every panel of ours has in common, over grafana-foundation-sdk."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

with warnings.catch_warnings():
    # The builder of the classic dashboard, which every Grafana since 9 imports, says at import that a newer one is preferred.
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, table, tempo, timeseries
from grafana_foundation_sdk.models import common as values
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as asked

METRICS: Final = values.DataSourceRef(type_val="prometheus", uid="${prometheus}")
TRACES: Final = values.DataSourceRef(type_val="tempo", uid="${tempo}")
TAG: Final = "otel-ext"
SEVERITIES: Final = {"critical": "red", "high": "orange", "medium": "yellow", "low": "blue"}
JOB: Final = 'job=~"$job"'


class Ask(NamedTuple):
    """A PromQL expression, and the name of what it gives."""

    expr: str
    legend: str = ""


def grew(selector: str, window: str = "$__range") -> str:
    """By how much a counter grew, counting what a series began with.

    `increase` does not see the step from no series to 1, and a finding that never came before is just that.
    """
    return f"(({selector} unless {selector} offset {window}) or increase({selector}[{window}]))"


def row(title: str) -> dashboard.Row:
    """A heading."""
    return dashboard.Row(title)


def number(title: str, description: str, expr: str, unit: str = "short", *, bad_from: float | None = None) -> stat.Panel:
    """One number over the range, a quarter of the width; red from *bad_from* on."""
    panel = stat.Panel().graph_mode(values.BigValueGraphMode.NONE).reduce_options(_last())
    steps = [models.Threshold(color="green", value=None)]
    if bad_from is not None:
        steps.append(models.Threshold(color="red", value=bad_from))
    panel.thresholds(dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
    _common(panel, title, description, unit, 4, 6)
    return panel.with_target(_query(Ask(expr), 0, instant=True))


def lines(
    title: str,
    description: str,
    asks: Sequence[Ask],
    unit: str = "short",
    *,
    stacked: bool = False,
    exemplars: bool = False,
    colors: dict[str, str] | None = None,
    wide: bool = False,
    counts: bool = False,
) -> timeseries.Panel:
    """Series over time. *exemplars* are dots that lead to a trace; *colors* are by legend; *counts*: bars that are a minute or more."""
    panel = timeseries.Panel().fill_opacity(30 if stacked or counts else 8).line_width(1).show_points(values.VisibilityMode.NEVER)
    panel.legend(
        common.VizLegendOptions().display_mode(values.LegendDisplayMode.LIST).placement(values.LegendPlacement.BOTTOM).show_legend(True)
    )
    panel.tooltip(common.VizTooltipOptions().mode(values.TooltipDisplayMode.MULTI).sort(values.SortOrder.DESCENDING))
    if counts:
        panel.interval("1m")
    if stacked or counts:
        panel.stacking(common.StackingConfig().mode(values.StackingMode.NORMAL)).draw_style(values.GraphDrawStyle.BARS)
    for name, color in (colors or {}).items():
        panel.override_by_name(name, [models.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": color})])
    _common(panel, title, description, unit, 8, 24 if wide else 12).min(0)
    for index, ask in enumerate(asks):
        panel.with_target(_query(ask, index, exemplars=exemplars))
    return panel


def ranked(title: str, description: str, expr: str, label: str, unit: str = "short") -> bargauge.Panel:
    """The largest first, as bars, over the range."""
    panel = bargauge.Panel().orientation(values.VizOrientation.HORIZONTAL).display_mode(values.BarGaugeDisplayMode.GRADIENT)
    panel.reduce_options(_last())
    _common(panel, title, description, unit, 8, 12)
    return panel.with_target(_query(Ask(expr, "{{" + label + "}}"), 0, instant=True))


def listing(
    title: str, description: str, columns: Sequence[Ask], hidden: Sequence[str] = (), units: dict[str, str] | None = None
) -> table.Panel:
    """A table over the range: a row a label set, a column an expression, named by its legend; *units* by column."""
    panel = table.Panel()
    _common(panel, title, description, "short", 7, 24)
    for index, ask in enumerate(columns):
        panel.with_target(_query(ask, index, instant=True, table=True))
    names = {f"Value #{_ref(index)}" if len(columns) > 1 else "Value": ask.legend for index, ask in enumerate(columns)}
    panel.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    away = dict.fromkeys(("Time", *hidden), True)
    panel.with_transformation(models.DataTransformerConfig(id_val="organize", options={"excludeByName": away, "renameByName": names}))
    panel.with_transformation(models.DataTransformerConfig(id_val="sortBy", options={"sort": [{"field": columns[0].legend, "desc": True}]}))
    for name, unit in (units or {}).items():
        panel.override_by_name(name, [models.DynamicConfigValue(id_val="unit", value=unit)])
    return panel


def traces(title: str, description: str, query: str) -> table.Panel:
    """The newest traces that a TraceQL query finds; each row opens its trace."""
    target = tempo.Dataquery().query(query).query_type("traceql").limit(20).ref_id("A").datasource(TRACES)
    panel = table.Panel().title(title).description(description).datasource(TRACES).height(8).span(24)
    return panel.with_target(target)


def page(uid: str, title: str, description: str, parts: Sequence[Any], labels: dict[str, str]) -> dashboard.Dashboard:
    """A dashboard. *labels*: variables to choose by, and the series selector whose label of that name they list."""
    made = dashboard.Dashboard(title).uid(uid).description(description).tags([TAG]).editable().refresh("30s").time("now-1h", "now")
    made.tooltip(models.DashboardCursorSync.CROSSHAIR).timezone("browser")
    made.link(dashboard.DashboardLink("otel_ext").type(models.DashboardLinkType.DASHBOARDS).tags([TAG]).as_dropdown(True).keep_time(True))
    made.with_variable(dashboard.DatasourceVariable("prometheus").label("Prometheus").type("prometheus").current(_chosen("prometheus")))
    if any(isinstance(part, table.Panel) and part.build().datasource == TRACES for part in parts):
        made.with_variable(dashboard.DatasourceVariable("tempo").label("Tempo").type("tempo").current(_chosen("tempo")))
    for name, selector in {"job": "otel_ext_build_info", **labels}.items():
        made.with_variable(_label_values(name, selector))
    for part in parts:
        made = made.with_row(part) if isinstance(part, dashboard.Row) else made.with_panel(part)
    return made


def _common(panel: Any, title: str, description: str, unit: str, height: int, width: int) -> Any:
    """The same of every panel, which is changed and given back."""
    return panel.title(title).description(description).datasource(METRICS).unit(unit).height(height).span(width)


def _query(ask: Ask, index: int, *, instant: bool = False, exemplars: bool = False, table: bool = False) -> prometheus.Dataquery:
    query = prometheus.Dataquery().expr(ask.expr).ref_id(_ref(index)).datasource(METRICS)
    query = query.instant() if instant else query.range()
    if ask.legend and not table:
        query.legend_format(ask.legend)
    return query.exemplar(True) if exemplars else query.format(asked.PromQueryFormat.TABLE) if table else query


def _ref(index: int) -> str:
    return chr(ord("A") + index)


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"])


def _chosen(uid: str) -> models.VariableOption:
    return models.VariableOption(text=uid, value=uid)


def _label_values(name: str, selector: str) -> dashboard.QueryVariable:
    query: dict[str, object] = {"query": f"label_values({selector}, {name})", "refId": name}
    variable = dashboard.QueryVariable(name).label(name.capitalize()).datasource(METRICS).query(query)
    every = models.VariableOption(text="All", value="$__all")
    variable.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(models.VariableSort.ALPHABETICAL_ASC)
    return variable.multi(True).include_all(True).all_value(".*").current(every)
