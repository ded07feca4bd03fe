#include "pipeline/cached_model.h"

namespace megalith {

CachedModel::CachedModel(const std::deque<Transformer>& chunks, const Mesh& mesh, const TensorGroup* tensor,
                         UnitGate* units)
    : mesh_(&mesh), tensor_(tensor), units_(units) {
  for (const Transformer& chunk : chunks) chunks_.push_back(&chunk);
}

CachedModel CachedModel::simulated() const {
  CachedModel alone = *this;
  alone.units_ = nullptr;
  if (mesh_ == nullptr) return alone;
  const Layout& layout = mesh_->layout();
  alone.own_mesh_ = std::make_shared<const Mesh>(Mesh::simulated(layout, rank_of(layout, mesh_->place())));
  alone.mesh_ = alone.own_mesh_.get();
  if (tensor_ == nullptr) return alone;
  alone.own_group_ = std::make_shared<const TensorGroup>(
      TensorGroup::simulated(tensor_->place(), static_cast<int>(config().kv_heads)));
  alone.tensor_ = alone.own_group_.get();
  return alone;
}

CachedModel::Cache CachedModel::make_cache(DType dtype, std::int64_t slots, std::int64_t capacity) const {
  const TensorPlace place = tensor_ == nullptr ? TensorPlace{} : tensor_->place();
  Cache cache;
  for (const Transformer* chunk : chunks_)
    cache.emplace_back(config(), dtype, slots, capacity, place, chunk->part());
  return cache;
}

void CachedModel::forward(const StepContext& context, const std::int32_t* ids, const CacheRows& rows,
                          Cache& cache, std::int64_t want_logits, const Tensor& logits) const {
  StepContext step = context;
  step.tensor = tensor_;
  step.units = units_;
  const int stages = mesh_ == nullptr ? 1 : mesh_->layout().pipeline;
  const int stage = mesh_ == nullptr ? 0 : mesh_->place().pipeline;
  const ArenaScope scope(step.workspace);
  const Tensor x = step.workspace.allocate(step.profile.compute, {rows.rows, config().hidden});
  for (std::size_t c = 0; c < chunks_.size(); ++c) {
    const ModelPart& part = chunks_[c]->part();
    if (!part.embedding)
      mesh_->pipeline().wait(mesh_->pipeline().receive(x.bytes(), (stage + stages - 1) % stages));
    chunks_[c]->forward_cached(step, ids, x, rows, cache[c]);
    if (!part.head) mesh_->pipeline().wait(mesh_->pipeline().send(x.bytes(), (stage + 1) % stages));
  }
  if (want_logits == rows.rows) return;
  if (chunks_.back()->part().head)
    chunks_.back()->logits(step, x.row_slice(want_logits, rows.rows - want_logits), logits);
  if (stages > 1) mesh_->pipeline().wait(mesh_->pipeline().broadcast(logits.bytes(), stages - 1));
}

}  // namespace megalith
