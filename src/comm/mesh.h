// Mesh: a rank's place among all ranks, with one communicator per axis.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "comm/communicator.h"

namespace megalith {

// How many ranks share what. The product is the number of ranks.
struct Layout {
  int data = 1;      // replicas that share the batch
  int pipeline = 1;  // stages that share the layers
  int context = 1;   // ranks that share each sequence
  int tensor = 1;    // ranks that share each matrix
  int expert = 1;    // ranks that share the experts

  [[nodiscard]] int ranks() const { return data * pipeline * context * tensor * expert; }
  bool operator==(const Layout&) const = default;
};

// "tensor 2 x pipeline 2 x data 2", ones left out; "1 rank".
std::string to_string(const Layout& layout);

struct MeshPlace {
  int data = 0, pipeline = 0, context = 0, tensor = 0, expert = 0;
  bool operator==(const MeshPlace&) const = default;
};

// Ranks count along tensor first, then expert, context, data, and pipeline last: what talks most is nearest,
// so a tensor group stays inside a host.
MeshPlace place_of(const Layout& layout, int rank);
int rank_of(const Layout& layout, const MeshPlace& place);

class Mesh {
 public:
  // Collective over `world`, which outlives the mesh. REQUIRES: layout.ranks() == world.size().
  Mesh(const Layout& layout, Communicator& world);
  // One rank alone.
  Mesh() : Mesh(Layout{}, make_self_communicator("world")) {}
  // That rank of a layout, alone among ranks that are not there (comm/sim).
  static Mesh simulated(const Layout& layout, int rank);

  [[nodiscard]] const Layout& layout() const { return layout_; }
  [[nodiscard]] const MeshPlace& place() const { return place_; }
  [[nodiscard]] Communicator& world() const { return *world_; }
  // The ranks that differ from this one along that axis alone, numbered by their place on it.
  [[nodiscard]] Communicator& tensor() const { return *tensor_; }
  [[nodiscard]] Communicator& pipeline() const { return *pipeline_; }
  // The same ranks as pipeline() once more: activations and gradients travel between two stages in an order
  // each.
  [[nodiscard]] Communicator& pipeline_gradients() const { return *pipeline_gradients_; }
  [[nodiscard]] Communicator& data() const { return *data_; }
  // First and last stage of this pipeline, for weights that both hold; null on stages between, and where they
  // are one.
  [[nodiscard]] Communicator* ends() const { return ends_.get(); }

  [[nodiscard]] bool first_stage() const { return place_.pipeline == 0; }
  [[nodiscard]] bool last_stage() const { return place_.pipeline == layout_.pipeline - 1; }

 private:
  Mesh(const Layout& layout, std::unique_ptr<Communicator> world) : Mesh(layout, *world) {
    own_world_ = std::move(world);
  }
  struct Simulated {};
  Mesh(Simulated, const Layout& layout, int rank);

  Layout layout_;
  MeshPlace place_;
  std::unique_ptr<Communicator> own_world_;  // of one rank alone, or simulated
  Communicator* world_ = nullptr;
  std::unique_ptr<Communicator> tensor_, pipeline_, pipeline_gradients_, data_, ends_;
};

}  // namespace megalith
