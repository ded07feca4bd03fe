#include "comm/mesh.h"

#include <utility>

#include "comm/sim/simulated_communicator.h"
#include "core/error.h"

namespace megalith {

std::string to_string(const Layout& layout) {
  std::string text;
  const auto append = [&](const char* axis, int degree) {
    if (degree == 1) return;
    text += fmt::format("{}{} {}", text.empty() ? "" : " x ", axis, degree);
  };
  append("tensor", layout.tensor);
  append("pipeline", layout.pipeline);
  append("data", layout.data);
  append("context", layout.context);
  append("expert", layout.expert);
  return text.empty() ? "1 rank" : text;
}

MeshPlace place_of(const Layout& layout, int rank) {
  MEGALITH_CHECK(rank >= 0 && rank < layout.ranks(), "rank {} of {}", rank, layout.ranks());
  MeshPlace place;
  const auto take = [&rank](int degree) { return std::exchange(rank, rank / degree) % degree; };
  place.tensor = take(layout.tensor);
  place.expert = take(layout.expert);
  place.context = take(layout.context);
  place.data = take(layout.data);
  place.pipeline = take(layout.pipeline);
  return place;
}

int rank_of(const Layout& layout, const MeshPlace& place) {
  int rank = place.pipeline;
  rank = rank * layout.data + place.data;
  rank = rank * layout.context + place.context;
  rank = rank * layout.expert + place.expert;
  return rank * layout.tensor + place.tensor;
}

Mesh::Mesh(const Layout& layout, Communicator& world)
    : layout_(layout), place_(place_of(layout, world.rank())), world_(&world) {
  MEGALITH_CHECK(layout.ranks() == world.size(), "{} ranks laid out as {}", world.size(), to_string(layout));
  // The colour of an axis is the rank at its beginning.
  const auto axis = [&](int MeshPlace::*coordinate, int degree, const char* name) {
    if (degree == 1) return make_self_communicator(name);
    MeshPlace first = place_;
    first.*coordinate = 0;
    return world.split(rank_of(layout, first), place_.*coordinate, name);
  };
  tensor_ = axis(&MeshPlace::tensor, layout.tensor, "tensor");
  data_ = axis(&MeshPlace::data, layout.data, "data");
  pipeline_ = axis(&MeshPlace::pipeline, layout.pipeline, "pipeline");
  pipeline_gradients_ = axis(&MeshPlace::pipeline, layout.pipeline, "pipeline gradients");
  if (layout.pipeline == 1) return;
  const bool end = first_stage() || last_stage();
  ends_ = pipeline_->split(end ? 0 : 1, place_.pipeline, "ends");
  if (!end) ends_.reset();
}

Mesh::Mesh(Simulated, const Layout& layout, int rank) : layout_(layout), place_(place_of(layout, rank)) {
  const auto axis = [](int place, int degree, const char* name) {
    return degree == 1 ? make_self_communicator(name) : make_simulated_communicator(place, degree, name);
  };
  own_world_ = axis(rank, layout.ranks(), "world");
  world_ = own_world_.get();
  tensor_ = axis(place_.tensor, layout.tensor, "tensor");
  data_ = axis(place_.data, layout.data, "data");
  pipeline_ = axis(place_.pipeline, layout.pipeline, "pipeline");
  pipeline_gradients_ = axis(place_.pipeline, layout.pipeline, "pipeline gradients");
  if (layout.pipeline > 1 && (first_stage() || last_stage())) ends_ = axis(first_stage() ? 0 : 1, 2, "ends");
}

Mesh Mesh::simulated(const Layout& layout, int rank) {
  return {Simulated{}, layout, rank};
}

}  // namespace megalith
