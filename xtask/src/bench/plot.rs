//! A curve as an SVG file.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use crate::Failure;

pub(crate) struct Plot<'a> {
    pub(crate) title: &'a str,
    pub(crate) x_title: &'a str,
    pub(crate) y_title: &'a str,
    /// Whether the second axis is logarithmic; the first one is.
    pub(crate) is_logarithmic: bool,
    pub(crate) points: Vec<(f64, f64)>,
}

const SIZE: (u32, u32) = (760, 400);
const COLOUR: RGBColor = RGBColor(31, 87, 157);

pub(crate) fn draw(plot: &Plot<'_>, file: &Path) -> Result<(), Failure> {
    let most = plot.points.iter().map(|point| point.1).fold(1.0, f64::max);
    let least = plot.points.iter().map(|point| point.1).fold(most, f64::min);
    let drawn = if plot.is_logarithmic {
        draw_over(plot, file, (least / 2.0..most * 2.0).log_scale())
    } else {
        draw_over(plot, file, 0.0..most * 1.1)
    };
    drawn.map_err(|error| format!("{}: {error}", file.display()))
}

fn draw_over<Y>(
    plot: &Plot<'_>,
    file: &Path,
    y: impl plotters::coord::ranged1d::AsRangedCoord<CoordDescType = Y, Value = f64>,
) -> Result<(), Box<dyn Error>>
where
    Y: plotters::coord::ranged1d::Ranged<ValueType = f64>
        + plotters::coord::ranged1d::ValueFormatter<f64>,
{
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let last = plot.points.iter().map(|point| point.0).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(&area)
        .margin(14)
        .caption(plot.title, ("sans-serif", 16))
        .x_label_area_size(44)
        .y_label_area_size(84)
        .build_cartesian_2d((0.8..last * 1.25).log_scale(), y)?;
    chart
        .configure_mesh()
        .light_line_style(RGBColor(240, 240, 240))
        .x_desc(plot.x_title)
        .y_desc(plot.y_title)
        .x_label_formatter(&|x| number(*x))
        .y_label_formatter(&|y| number(*y))
        .label_style(("sans-serif", 13))
        .axis_desc_style(("sans-serif", 14))
        .draw()?;
    chart.draw_series(LineSeries::new(
        plot.points.iter().copied(),
        COLOUR.stroke_width(2),
    ))?;
    let dots = plot.points.iter();
    chart.draw_series(dots.map(|point| Circle::new(*point, 3, COLOUR.filled())))?;
    area.present()?;
    Ok(())
}

/// A number as short as it can be written.
fn number(figure: f64) -> String {
    if figure >= 1e6 {
        format!("{} M", figure / 1e6)
    } else if figure >= 1e3 {
        format!("{} k", figure / 1e3)
    } else {
        format!("{figure}")
    }
}
