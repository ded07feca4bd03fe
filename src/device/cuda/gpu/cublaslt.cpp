#include "device/cuda/gpu/cublaslt.h"

#include <cublasLt.h>
#include <dlfcn.h>

#include <vector>

namespace megalith::cuda {
namespace {

constexpr std::size_t kWorkspaceBytes = 32 << 20;
constexpr int kMostCandidates = 8;

void check_library(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw WorldFailed(fmt::format("cuBLASLt, {}: status {}", what, static_cast<int>(status)));
}

// The entry points by name.
struct EntryPoints {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtGetVersion) get_version;
  decltype(&cublasLtMatmulDescCreate) desc_create;
  decltype(&cublasLtMatmulDescDestroy) desc_destroy;
  decltype(&cublasLtMatmulDescSetAttribute) desc_set;
  decltype(&cublasLtMatrixLayoutCreate) layout_create;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set;
  decltype(&cublasLtMatmulAlgoGetHeuristic) get_heuristic;
  decltype(&cublasLtMatmul) matmul;
};

template <class Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

bool find_all(void* library, EntryPoints& e) {
  return find(library, "cublasLtCreate", e.create) && find(library, "cublasLtDestroy", e.destroy) &&
         find(library, "cublasLtGetVersion", e.get_version) &&
         find(library, "cublasLtMatmulDescCreate", e.desc_create) &&
         find(library, "cublasLtMatmulDescDestroy", e.desc_destroy) &&
         find(library, "cublasLtMatmulDescSetAttribute", e.desc_set) &&
         find(library, "cublasLtMatrixLayoutCreate", e.layout_create) &&
         find(library, "cublasLtMatrixLayoutDestroy", e.layout_destroy) &&
         find(library, "cublasLtMatmulPreferenceCreate", e.preference_create) &&
         find(library, "cublasLtMatmulPreferenceDestroy", e.preference_destroy) &&
         find(library, "cublasLtMatmulPreferenceSetAttribute", e.preference_set) &&
         find(library, "cublasLtMatmulAlgoGetHeuristic", e.get_heuristic) &&
         find(library, "cublasLtMatmul", e.matmul);
}

cudaDataType_t type_of(DType dtype) {
  return dtype == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F;
}

// The library's matrices lie column after column, so it computes the transpose: D^T[columns, rows] = op(w)
// a^T.
struct Problem {
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t weight = nullptr;
  cublasLtMatrixLayout_t rows = nullptr;
  cublasLtMatrixLayout_t result = nullptr;
};

struct Strides {
  std::int64_t rows, weight, result;
};

class Loaded final : public CublasLt {
 public:
  explicit Loaded(const EntryPoints& entry)
      : entry_(entry), workspace_("cuBLASLt workspace", kWorkspaceBytes, memory_) {
    check_library(entry_.create(&handle_), "starting");
  }
  ~Loaded() override { entry_.destroy(handle_); }

  [[nodiscard]] std::string version() const override {
    const std::size_t version = entry_.get_version();
    return fmt::format("cuBLASLt {}.{}.{}", version / 10000, version / 100 % 100, version % 100);
  }

  int candidates(const ProductKey& key) override { return static_cast<int>(algorithms(key).size()); }

  bool multiply(const ProductKey& key, int candidate, const LibraryProduct& product,
                cudaStream_t stream) override {
    const std::vector<cublasLtMatmulAlgo_t>& known = algorithms(key);
    MEGALITH_CHECK(candidate >= 0 && static_cast<std::size_t>(candidate) < known.size(), "candidate {} of {}",
                   candidate, known.size());
    Problem problem =
        make_problem(key, product.rows.rows(),
                     {product.rows.row_stride, product.weight.row_stride, product.result.row_stride});
    const float one = 1;
    const float zero = 0;
    const cublasStatus_t status = entry_.matmul(
        handle_, problem.operation, &one, product.weight.data, problem.weight, product.rows.data,
        problem.rows, &zero, product.result.data, problem.result, product.result.data, problem.result,
        &known[static_cast<std::size_t>(candidate)], workspace_start_, kWorkspaceBytes, stream);
    destroy(problem);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED || status == CUBLAS_STATUS_INVALID_VALUE) return false;
    check_library(status, name_of(key.form));
    return true;
  }

 private:
  const std::vector<cublasLtMatmulAlgo_t>& algorithms(const ProductKey& key) {
    const auto known = algorithms_.find(key);
    if (known != algorithms_.end()) return known->second;
    const std::int64_t summed = key.form == ProductForm::forward ? key.inputs : key.outputs;
    const std::int64_t columns = key.form == ProductForm::forward ? key.outputs : key.inputs;
    Problem problem = make_problem(key, kRowsOfCheck, {summed, key.inputs, columns});
    cublasLtMatmulPreference_t preference = nullptr;
    check_library(entry_.preference_create(&preference), "making a preference");
    const std::size_t workspace = kWorkspaceBytes;
    const std::uint32_t no_reduction = CUBLASLT_REDUCTION_SCHEME_NONE;  // no split-K
    check_library(entry_.preference_set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                        sizeof(workspace)),
                  "setting a preference");
    check_library(entry_.preference_set(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &no_reduction,
                                        sizeof(no_reduction)),
                  "setting a preference");
    cublasLtMatmulHeuristicResult_t results[kMostCandidates] = {};
    int found = 0;
    const cublasStatus_t status =
        entry_.get_heuristic(handle_, problem.operation, problem.weight, problem.rows, problem.result,
                             problem.result, preference, kMostCandidates, results, &found);
    entry_.preference_destroy(preference);
    destroy(problem);
    if (status != CUBLAS_STATUS_NOT_SUPPORTED) check_library(status, "looking for algorithms");
    std::vector<cublasLtMatmulAlgo_t>& list = algorithms_[key];
    for (int i = 0; i < found; ++i) {
      if (results[i].state == CUBLAS_STATUS_SUCCESS) list.push_back(results[i].algo);
    }
    return list;
  }

  [[nodiscard]] Problem make_problem(const ProductKey& key, std::int64_t rows, const Strides& strides) const {
    const bool forward = key.form == ProductForm::forward;
    const auto columns = static_cast<std::uint64_t>(forward ? key.outputs : key.inputs);
    const auto summed = static_cast<std::uint64_t>(forward ? key.inputs : key.outputs);
    const cudaDataType_t operands = type_of(key.operands);
    Problem problem;
    check_library(entry_.desc_create(&problem.operation, CUBLAS_COMPUTE_32F, CUDA_R_32F),
                  "describing a product");
    // A weight [N, K] row after row is [K, N] column after column.
    const cublasOperation_t weight = forward ? CUBLAS_OP_T : CUBLAS_OP_N;
    check_library(entry_.desc_set(problem.operation, CUBLASLT_MATMUL_DESC_TRANSA, &weight, sizeof(weight)),
                  "describing a product");
    make_layout(&problem.weight, operands, static_cast<std::uint64_t>(key.inputs),
                static_cast<std::uint64_t>(key.outputs), strides.weight);
    make_layout(&problem.rows, operands, summed, static_cast<std::uint64_t>(rows), strides.rows);
    make_layout(&problem.result, type_of(key.result), columns, static_cast<std::uint64_t>(rows),
                strides.result);
    return problem;
  }
  void make_layout(cublasLtMatrixLayout_t* layout, cudaDataType_t type, std::uint64_t rows,
                   std::uint64_t columns, std::int64_t stride) const {
    check_library(entry_.layout_create(layout, type, rows, columns, stride), "describing a matrix");
  }
  void destroy(const Problem& problem) const {
    entry_.layout_destroy(problem.result);
    entry_.layout_destroy(problem.rows);
    entry_.layout_destroy(problem.weight);
    entry_.desc_destroy(problem.operation);
  }

  EntryPoints entry_;
  cublasLtHandle_t handle_ = nullptr;
  GpuMemory memory_;
  Arena workspace_;
  void* workspace_start_ = workspace_.allocate_bytes(kWorkspaceBytes);
  std::map<ProductKey, std::vector<cublasLtMatmulAlgo_t>> algorithms_;
};

}  // namespace

std::unique_ptr<CublasLt> CublasLt::load(std::string* why) {
  const std::string name = fmt::format("libcublasLt.so.{}", CUBLAS_VER_MAJOR);
  // Never closed: the library keeps threads and memory of its own. Toolkits put themselves here, not always
  // on the loader's path.
  void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) library = dlopen(("/usr/local/cuda/lib64/" + name).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* error = dlerror();
    *why = error == nullptr ? name : error;
    return nullptr;
  }
  EntryPoints entry{};
  if (!find_all(library, entry)) {
    *why = name + " lacks an entry point of cublasLt.h";
    return nullptr;
  }
  return std::make_unique<Loaded>(entry);
}

}  // namespace megalith::cuda
