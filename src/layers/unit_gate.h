// Units: the parts of a model whose parameters come, go and are reduced together when their memory is shared
// by data-parallel ranks.
#pragma once

namespace megalith {

// 0: the token table. 1: the rest of the embedding. 2 + l: block l. 2 + L: the head's norm and, where it is
// not tied to the token table, its output.
inline constexpr int kTokenTableUnit = 0;
inline constexpr int kEmbeddingUnit = 1;
constexpr int block_unit(int layer) {
  return 2 + layer;
}
constexpr int head_unit(int layers) {
  return 2 + layers;
}

// Told by the model what it is about to do with a unit's parameters. By default nobody cares.
//
// Around each forward and backward of a unit: before_use, after_use. Around whatever adds to its gradients:
// before_gradients, gradients_added; blocks are added to one at a time. Those two may come several times for
// one micro batch (a weight half done later, a tied table's two ends). Every data rank makes the same calls
// in the same order.
class UnitGate {
 public:
  virtual ~UnitGate() = default;
  virtual void before_use(int /*unit*/) {}
  virtual void after_use(int /*unit*/) {}
  virtual void before_gradients(int /*unit*/) {}
  // `last`: nothing more of the present micro batch will come for the unit.
  virtual void gradients_added(int /*unit*/, bool /*last*/) {}
  // Nothing more of this step will come: once per step and unit.
  virtual void step_added(int /*unit*/) {}
};

// A unit's parameters are used in this scope. The gate may be null.
class UnitUse {
 public:
  UnitUse(UnitGate* gate, int unit) : gate_(gate), unit_(unit) {
    if (gate_ != nullptr) gate_->before_use(unit_);
  }
  ~UnitUse() {
    if (gate_ != nullptr) gate_->after_use(unit_);
  }
  UnitUse(const UnitUse&) = delete;
  UnitUse& operator=(const UnitUse&) = delete;

 private:
  UnitGate* gate_;
  int unit_;
};

// A unit's gradients are added to from here to added(). The gate may be null.
class UnitGradients {
 public:
  UnitGradients(UnitGate* gate, int unit, bool last = true) : gate_(gate), unit_(unit), last_(last) {
    if (gate_ != nullptr) gate_->before_gradients(unit_);
  }
  // Not in a destructor: it may begin an operation, and what a failed one throws must get out.
  void added() {
    if (gate_ != nullptr) gate_->gradients_added(unit_, last_);
  }

 private:
  UnitGate* gate_;
  int unit_;
  bool last_;
};

}  // namespace megalith
