"""Pictures of predictions: overlays on frames, bird's-eye maps, contact sheets."""

from soccermaster.viz.contact_sheet import contact_sheet, heatmap_overlay, patch_pca
from soccermaster.viz.draw import (
    draw_athletes,
    draw_banner,
    draw_boxes,
    draw_keypoints,
    draw_lines,
    draw_overlay,
    draw_pitch_markings,
)
from soccermaster.viz.matrix import draw_matrix
from soccermaster.viz.pitch_map import (
    draw_field_of_view,
    draw_pitch,
    draw_positions,
    field_of_view_m,
    map_points_px,
    write_message,
)
from soccermaster.viz.tracks import draw_tracks, draw_trails, track_colour

__all__ = [
    "contact_sheet",
    "draw_athletes",
    "draw_banner",
    "draw_boxes",
    "draw_field_of_view",
    "draw_keypoints",
    "draw_lines",
    "draw_matrix",
    "draw_overlay",
    "draw_pitch",
    "draw_pitch_markings",
    "draw_positions",
    "draw_tracks",
    "draw_trails",
    "field_of_view_m",
    "heatmap_overlay",
    "map_points_px",
    "patch_pca",
    "track_colour",
    "write_message",
]
