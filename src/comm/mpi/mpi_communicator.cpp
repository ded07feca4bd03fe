#include "comm/mpi/mpi_communicator.h"

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>
#include <vector>

#include "core/error.h"

namespace megalith {
namespace {

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(MPI_Comm comm, std::string name, std::shared_ptr<ReductionEngine> engine,
                  std::size_t largest_piece)
      : comm_(comm), name_(std::move(name)), engine_(std::move(engine)), largest_piece_(largest_piece) {
    MPI_Comm_rank(comm_, &rank_);
    MPI_Comm_size(comm_, &size_);
    check(MPI_Comm_dup(comm_, &reductions_comm_), "a beginning");
  }
  MpiCommunicator(const MpiCommunicator&) = delete;
  MpiCommunicator& operator=(const MpiCommunicator&) = delete;
  // Freeing concerns all ranks; on the way out of a failure they will not come.
  ~MpiCommunicator() override {
    if (std::uncaught_exceptions() > 0) return;
    MPI_Comm_free(&reductions_comm_);
    MPI_Comm_free(&comm_);
  }

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return size_; }
  [[nodiscard]] const std::string& name() const override { return name_; }
  // Other processes have memory of their own, and from here to the end of the job nobody makes MPI work on
  // this one's.
  void abandon() noexcept override {}

  Request all_gather(ConstBytes mine, Bytes all) override {
    check_parts(mine.size(), all.size());
    const bool in_place = mine.data() == all.data() + static_cast<std::size_t>(rank_) * mine.size();
    return post("all_gather", [&](Entry& entry) {
      for_pieces(mine.size(), [&](std::size_t begin, int count) {
        const StridedType parts(count, mine.size());
        check(MPI_Iallgather(in_place ? MPI_IN_PLACE : mine.data() + begin, count, MPI_BYTE,
                             all.data() + begin, 1, parts.type(), comm_, next(entry)),
              "all_gather");
      });
    });
  }

  Request all_to_all(ConstBytes from, Bytes to) override {
    MEGALITH_CHECK(from.size() == to.size(), "{} bytes to {}", from.size(), to.size());
    const std::size_t part = from.size() / static_cast<std::size_t>(size_);
    check_parts(part, to.size());
    return post("all_to_all", [&](Entry& entry) {
      for_pieces(part, [&](std::size_t begin, int count) {
        const StridedType parts(count, part);
        check(MPI_Ialltoall(from.data() + begin, 1, parts.type(), to.data() + begin, 1, parts.type(), comm_,
                            next(entry)),
              "all_to_all");
      });
    });
  }

  Request broadcast(Bytes data, int root) override {
    check_rank(root);
    return post("broadcast", [&](Entry& entry) {
      for_pieces(data.size(), [&](std::size_t begin, int count) {
        check(MPI_Ibcast(data.data() + begin, count, MPI_BYTE, root, comm_, next(entry)), "broadcast");
      });
    });
  }

  Request all_reduce(std::span<std::int64_t> values, IntegerReduction reduction) override {
    return post("all_reduce", [&](Entry& entry) {
      const std::size_t part =
          (values.size() + static_cast<std::size_t>(size_) - 1) / static_cast<std::size_t>(size_);
      if (values.size_bytes() > kLibraryReduces)
        return reduce(entry, reduction, values, part, nullptr, values.data());
      check(MPI_Iallreduce(MPI_IN_PLACE, values.data(), static_cast<int>(values.size()), type_of(reduction),
                           operation_of(reduction), comm_, next(entry)),
            "all_reduce");
    });
  }

  Request reduce_scatter(std::span<const std::int64_t> all, std::span<std::int64_t> mine) override {
    check_parts(mine.size(), all.size());
    return post("reduce_scatter", [&](Entry& entry) {
      reduce(entry, IntegerReduction::sum, all, mine.size(), mine.data(), nullptr);
    });
  }

  Request send(ConstBytes data, int to) override {
    check_rank(to);
    MEGALITH_CHECK(to != rank_, "rank {} sends to itself", rank_);
    return post("send", [&](Entry& entry) {
      for_pieces(data.size(), [&](std::size_t begin, int count) {
        check(MPI_Isend(data.data() + begin, count, MPI_BYTE, to, 0, comm_, next(entry)), "send");
      });
    });
  }

  Request receive(Bytes data, int from) override {
    check_rank(from);
    MEGALITH_CHECK(from != rank_, "rank {} receives from itself", rank_);
    return post("receive", [&](Entry& entry) {
      for_pieces(data.size(), [&](std::size_t begin, int count) {
        check(MPI_Irecv(data.data() + begin, count, MPI_BYTE, from, 0, comm_, next(entry)), "receive");
      });
    });
  }

  void wait(Request request) override {
    MEGALITH_CHECK(request.index < entries_.size() && entries_[request.index].under_way,
                   "a request of {} is waited for twice", name_);
    Entry& entry = entries_[request.index];
    finish(entry);
    entry.requests.clear();
    entry.under_way = false;
    free_.push_back(request.index);
  }

  std::unique_ptr<Communicator> split(int colour, int key, const std::string& child_name) override {
    MEGALITH_CHECK(colour >= 0, "colour {}", colour);
    MPI_Comm child = MPI_COMM_NULL;
    check(MPI_Comm_split(comm_, colour, key, &child), "split");
    return make_mpi_communicator(child, child_name, engine_, largest_piece_);
  }

 private:
  // One operation under way: as many requests of MPI as it has pieces.
  struct Entry {
    const char* what = "";
    bool under_way = false;
    std::vector<MPI_Request> requests;
    std::optional<std::size_t> reduction;  // the engine's
  };

  // `count` bytes, of which the next rank's begin `stride` bytes later.
  class StridedType {
   public:
    StridedType(int count, std::size_t stride) {
      MPI_Datatype bytes = MPI_DATATYPE_NULL;
      MPI_Type_contiguous(count, MPI_BYTE, &bytes);
      MPI_Type_create_resized(bytes, 0, static_cast<MPI_Aint>(stride), &type_);
      MPI_Type_commit(&type_);
      MPI_Type_free(&bytes);
    }
    StridedType(const StridedType&) = delete;
    StridedType& operator=(const StridedType&) = delete;
    ~StridedType() { MPI_Type_free(&type_); }  // MPI keeps it until what uses it has ended
    [[nodiscard]] MPI_Datatype type() const { return type_; }

   private:
    MPI_Datatype type_ = MPI_DATATYPE_NULL;
  };

  // The sum wraps, which only unsigned integers are sure to do. There is no reduction of floats here.
  static MPI_Datatype type_of(IntegerReduction reduction) {
    return reduction == IntegerReduction::maximum ? MPI_INT64_T : MPI_UINT64_T;
  }
  static MPI_Op operation_of(IntegerReduction reduction) {
    switch (reduction) {
      case IntegerReduction::sum:
        return MPI_SUM;
      case IntegerReduction::maximum:
        return MPI_MAX;
      case IntegerReduction::bit_or:
        return MPI_BOR;
    }
    return MPI_OP_NULL;
  }
  void check_parts(std::size_t part, std::size_t all) const {
    MEGALITH_CHECK(part * static_cast<std::size_t>(size_) == all, "{} parts of {} are not {}", size_, part,
                   all);
  }
  void check_rank(int rank) const { MEGALITH_CHECK(rank >= 0 && rank < size_, "rank {} of {}", rank, size_); }

  void check(int error, const char* what) const {
    if (error == MPI_SUCCESS) return;
    char text[MPI_MAX_ERROR_STRING];
    int length = 0;
    MPI_Error_string(error, text, &length);
    throw PeerFailed(fmt::format("{} of rank {} in {} failed: {}", what, rank_, name_,
                                 std::string_view(text, static_cast<std::size_t>(length))));
  }

  // No piece at all of nothing: an operation without bytes is over at once.
  template <class Body>
  void for_pieces(std::size_t bytes, Body body) const {
    for (std::size_t begin = 0; begin < bytes; begin += largest_piece_) {
      body(begin, static_cast<int>(std::min(largest_piece_, bytes - begin)));
    }
  }

  void reduce(Entry& entry, IntegerReduction reduction, std::span<const std::int64_t> values,
              std::size_t part, std::int64_t* result, std::int64_t* gathered) {
    if (gathered != nullptr) result = gathered + static_cast<std::size_t>(rank_) * part;
    entry.reduction = engine_->begin({.comm = reductions_comm_,
                                      .rank = rank_,
                                      .size = size_,
                                      .number = reductions_++,
                                      .reduction = reduction,
                                      .values = values.data(),
                                      .count = values.size(),
                                      .part = part,
                                      .result = result,
                                      .gathered = gathered});
  }

  // As long as anything of this process is in the engine, others may wait for that and not for this.
  void finish(Entry& entry) {
    while (!engine_->idle()) {
      engine_->progress();
      if (entry.reduction ? engine_->done(*entry.reduction) : all_there(entry)) break;
    }
    if (entry.reduction) {
      engine_->forget(*entry.reduction);
      entry.reduction.reset();
    } else {
      check(MPI_Waitall(static_cast<int>(entry.requests.size()), entry.requests.data(), MPI_STATUSES_IGNORE),
            entry.what);
    }
  }
  bool all_there(Entry& entry) const {
    int all = 0;
    check(MPI_Testall(static_cast<int>(entry.requests.size()), entry.requests.data(), &all,
                      MPI_STATUSES_IGNORE),
          entry.what);
    return all != 0;
  }

  static MPI_Request* next(Entry& entry) { return &entry.requests.emplace_back(MPI_REQUEST_NULL); }

  template <class Begin>
  Request post(const char* what, Begin begin) {
    if (free_.empty()) {
      free_.push_back(static_cast<std::uint32_t>(entries_.size()));
      entries_.emplace_back();
      free_.reserve(entries_.capacity());
    }
    const std::uint32_t index = free_.back();
    free_.pop_back();
    Entry& entry = entries_[index];
    entry.what = what;
    entry.under_way = true;
    begin(entry);
    engine_->progress();
    return {index};
  }

  // Less is over sooner in the library's hands.
  static constexpr std::size_t kLibraryReduces = 32 * 1024;

  MPI_Comm comm_;
  MPI_Comm reductions_comm_ = MPI_COMM_NULL;
  std::string name_;
  std::shared_ptr<ReductionEngine> engine_;
  std::size_t largest_piece_;
  int reductions_ = 0;
  int rank_ = 0;
  int size_ = 1;
  std::vector<Entry> entries_;
  std::vector<std::uint32_t> free_;  // places in entries_
};

}  // namespace

std::unique_ptr<Communicator> make_mpi_communicator(MPI_Comm comm, std::string name,
                                                    std::shared_ptr<ReductionEngine> engine,
                                                    std::size_t largest_piece) {
  return std::make_unique<MpiCommunicator>(comm, std::move(name), std::move(engine), largest_piece);
}

}  // namespace megalith
