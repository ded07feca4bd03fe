#include "comm/mpi/mpi_communicator.h"

#include <algorithm>
#include <exception>
#include <utility>
#include <vector>

#include "core/error.h"

namespace megalith {
namespace {

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(MPI_Comm comm, std::string name, std::size_t largest_piece)
      : comm_(comm), name_(std::move(name)), largest_piece_(largest_piece) {
    MPI_Comm_rank(comm_, &rank_);
    MPI_Comm_size(comm_, &size_);
  }
  MpiCommunicator(const MpiCommunicator&) = delete;
  MpiCommunicator& operator=(const MpiCommunicator&) = delete;
  // Freeing concerns all ranks; on the way out of a failure they will not come.
  ~MpiCommunicator() override {
    if (std::uncaught_exceptions() == 0) MPI_Comm_free(&comm_);
  }

  [[nodiscard]] int rank() const override { return rank_; }
  [[nodiscard]] int size() const override { return size_; }
  [[nodiscard]] const std::string& name() const override { return name_; }

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
      for_pieces(values.size_bytes(), [&](std::size_t begin, int count) {
        check(MPI_Iallreduce(MPI_IN_PLACE, values.data() + begin / sizeof(std::int64_t), integers(count),
                             type_of(reduction), operation_of(reduction), comm_, next(entry)),
              "all_reduce");
      });
    });
  }

  Request reduce_scatter(std::span<const std::int64_t> all, std::span<std::int64_t> mine) override {
    check_parts(mine.size(), all.size());
    return post("reduce_scatter", [&](Entry& entry) {
      // MPI's buffers may not overlap, ours may.
      std::int64_t* result = mine.data();
      if (overlaps(all, mine)) {
        entry.result.resize(mine.size());
        entry.target = mine;
        result = entry.result.data();
      }
      if (mine.size_bytes() <= largest_piece_) {
        check(MPI_Ireduce_scatter_block(all.data(), result, integers(static_cast<int>(mine.size_bytes())),
                                        type_of(IntegerReduction::sum), operation_of(IntegerReduction::sum),
                                        comm_, next(entry)),
              "reduce_scatter");
        return;
      }
      reduce_pieces(entry, all, result, mine.size());
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
    check(MPI_Waitall(static_cast<int>(entry.requests.size()), entry.requests.data(), MPI_STATUSES_IGNORE),
          entry.what);
    if (!entry.target.empty()) std::copy(entry.result.begin(), entry.result.end(), entry.target.begin());
    entry.target = {};
    entry.requests.clear();
    entry.under_way = false;
    free_.push_back(request.index);
  }

  std::unique_ptr<Communicator> split(int colour, int key, const std::string& child_name) override {
    MEGALITH_CHECK(colour >= 0, "colour {}", colour);
    MPI_Comm child = MPI_COMM_NULL;
    check(MPI_Comm_split(comm_, colour, key, &child), "split");
    return make_mpi_communicator(child, child_name, largest_piece_);
  }

 private:
  // One operation under way: as many requests of MPI as it has pieces.
  struct Entry {
    const char* what = "";
    bool under_way = false;
    std::vector<MPI_Request> requests;
    std::vector<std::int64_t> result;  // copied to target when all is there
    std::span<std::int64_t> target;
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
  static int integers(int bytes) { return bytes / static_cast<int>(sizeof(std::int64_t)); }
  static bool overlaps(std::span<const std::int64_t> all, std::span<const std::int64_t> mine) {
    return mine.data() < all.data() + all.size() && all.data() < mine.data() + mine.size();
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

  // Pieces of every rank's part are not contiguous, and MPI reduces nothing else: each rank is the root of
  // its own.
  void reduce_pieces(Entry& entry, std::span<const std::int64_t> all, std::int64_t* result,
                     std::size_t part) {
    for (int root = 0; root < size_; ++root) {
      const std::int64_t* from = all.data() + static_cast<std::size_t>(root) * part;
      for_pieces(part * sizeof(std::int64_t), [&](std::size_t begin, int count) {
        const std::size_t first = begin / sizeof(std::int64_t);
        check(MPI_Ireduce(from + first, result + first, integers(count), type_of(IntegerReduction::sum),
                          operation_of(IntegerReduction::sum), root, comm_, next(entry)),
              "reduce_scatter");
      });
    }
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
    return {index};
  }

  MPI_Comm comm_;
  std::string name_;
  std::size_t largest_piece_;  // a multiple of 8
  int rank_ = 0;
  int size_ = 1;
  std::vector<Entry> entries_;
  std::vector<std::uint32_t> free_;  // places in entries_
};

}  // namespace

std::unique_ptr<Communicator> make_mpi_communicator(MPI_Comm comm, std::string name,
                                                    std::size_t largest_piece) {
  return std::make_unique<MpiCommunicator>(comm, std::move(name), largest_piece);
}

}  // namespace megalith
