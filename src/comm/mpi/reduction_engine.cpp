#include "comm/mpi/reduction_engine.h"

#include <algorithm>
#include <array>

#include "comm/integer_reduction.h"
#include "core/error.h"

namespace megalith {
namespace {

constexpr std::size_t kPieceValues =
    64 * 1024;  // 512 KiB: fits the second-level cache beside what it is added to
constexpr int kRoundsAtOnce = 2;

void check(int error, int rank) {
  if (error == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(error, text.data(), &length);
  throw PeerFailed(fmt::format("a reduction of rank {} failed: {}", rank, text.data()));
}

// Every rank's messages of a round's phase carry the same tag; rounds of other jobs that may be under way
// have others.
int tag_of(int number, std::size_t round, int phase) {
  return static_cast<int>((static_cast<std::size_t>(number) % 64) << 24 |
                          (round * 2 + static_cast<std::size_t>(phase)) % (1 << 24));
}

}  // namespace

// One job under way, or memory for the next.
class ReductionEngine::Reduction {
 public:
  [[nodiscard]] bool free() const { return free_; }
  [[nodiscard]] bool done() const { return done_; }
  void forget() { free_ = true; }

  void begin(const ReductionJob& job) {
    job_ = job;
    free_ = false;
    done_ = false;
    rounds_ = (job.part + kPieceValues - 1) / kPieceValues;
    for (int lane = 0; lane < kRoundsAtOnce; ++lane)
      start(lanes_[static_cast<std::size_t>(lane)], static_cast<std::size_t>(lane));
    finish_if_over();
  }

  void progress() {
    if (done_) return;
    for (Lane& lane : lanes_) {
      while (lane.phase != Phase::idle && arrived(lane)) go_on(lane);
    }
    finish_if_over();
  }

 private:
  enum class Phase : std::uint8_t { idle, scatter, gather };
  struct Lane {
    Phase phase = Phase::idle;
    std::size_t round = 0;
    std::vector<MPI_Request> requests;
    std::vector<std::int64_t> others;  // by distance from this rank, what that rank has for our piece
  };
  struct Piece {
    std::size_t begin = 0, count = 0;  // within all values
  };

  [[nodiscard]] Piece piece_of(int rank, std::size_t round) const {
    const std::size_t part_begin = static_cast<std::size_t>(rank) * job_.part;
    const std::size_t part_end = std::min(part_begin + job_.part, job_.count);
    const std::size_t begin = part_begin + round * kPieceValues;
    if (begin >= part_end) return {};
    return {begin, std::min(kPieceValues, part_end - begin)};
  }
  [[nodiscard]] int peer(int distance) const { return (job_.rank + distance) % job_.size; }

  void receive(Lane& lane, std::int64_t* to, std::size_t count, int from, int tag) const {
    if (count == 0) return;
    check(MPI_Irecv(to, static_cast<int>(count), MPI_INT64_T, from, tag, job_.comm,
                    &lane.requests.emplace_back()),
          job_.rank);
  }
  void send(Lane& lane, const std::int64_t* from, std::size_t count, int to, int tag) const {
    if (count == 0) return;
    check(MPI_Isend(from, static_cast<int>(count), MPI_INT64_T, to, tag, job_.comm,
                    &lane.requests.emplace_back()),
          job_.rank);
  }

  void start(Lane& lane, std::size_t round) {
    lane.requests.clear();
    lane.round = round;
    lane.phase = round < rounds_ ? Phase::scatter : Phase::idle;
    if (lane.phase == Phase::idle) return;
    const int tag = tag_of(job_.number, round, 0);
    const Piece mine = piece_of(job_.rank, round);
    lane.others.resize(static_cast<std::size_t>(job_.size) * kPieceValues);
    for (int distance = 1; distance < job_.size; ++distance) {
      receive(lane, lane.others.data() + static_cast<std::size_t>(distance) * kPieceValues, mine.count,
              peer(job_.size - distance), tag);
    }
    for (int distance = 1; distance < job_.size; ++distance) {
      const Piece theirs = piece_of(peer(distance), round);
      send(lane, job_.values + theirs.begin, theirs.count, peer(distance), tag);
    }
  }

  bool arrived(Lane& lane) const {
    int all = 0;
    check(
        MPI_Testall(static_cast<int>(lane.requests.size()), lane.requests.data(), &all, MPI_STATUSES_IGNORE),
        job_.rank);
    return all != 0;
  }

  void go_on(Lane& lane) {
    if (lane.phase == Phase::scatter) {
      const Piece mine = piece_of(job_.rank, lane.round);
      std::int64_t* sum = job_.result + (mine.begin - static_cast<std::size_t>(job_.rank) * job_.part);
      if (mine.count > 0) add(lane, mine, sum);
      if (job_.gathered != nullptr) return gather(lane, mine, sum);
    }
    start(lane, lane.round + kRoundsAtOnce);
  }

  void add(const Lane& lane, const Piece& mine, std::int64_t* sum) const {
    if (sum != job_.values + mine.begin) std::copy_n(job_.values + mine.begin, mine.count, sum);
    for (int distance = 1; distance < job_.size; ++distance) {
      const std::int64_t* other = lane.others.data() + static_cast<std::size_t>(distance) * kPieceValues;
      reduce_into(reinterpret_cast<std::uint64_t*>(sum), reinterpret_cast<const std::uint64_t*>(other),
                  mine.count, job_.reduction);
    }
  }

  // What arrives takes the place of what this round has sent.
  void gather(Lane& lane, const Piece& mine, const std::int64_t* sum) {
    lane.requests.clear();
    lane.phase = Phase::gather;
    const int tag = tag_of(job_.number, lane.round, 1);
    for (int distance = 1; distance < job_.size; ++distance) {
      const Piece theirs = piece_of(peer(job_.size - distance), lane.round);
      receive(lane, job_.gathered + theirs.begin, theirs.count, peer(job_.size - distance), tag);
    }
    for (int distance = 1; distance < job_.size; ++distance) send(lane, sum, mine.count, peer(distance), tag);
  }

  void finish_if_over() {
    done_ =
        std::all_of(lanes_.begin(), lanes_.end(), [](const Lane& lane) { return lane.phase == Phase::idle; });
  }

  ReductionJob job_;
  bool free_ = true;
  bool done_ = true;
  std::size_t rounds_ = 0;
  std::array<Lane, kRoundsAtOnce> lanes_;
};

ReductionEngine::ReductionEngine() = default;
ReductionEngine::~ReductionEngine() = default;

std::size_t ReductionEngine::begin(const ReductionJob& job) {
  const std::lock_guard lock(mutex_);
  const auto free =
      std::find_if(reductions_.begin(), reductions_.end(), [](const auto& one) { return one->free(); });
  const auto place = static_cast<std::size_t>(free - reductions_.begin());
  if (free == reductions_.end()) reductions_.push_back(std::make_unique<Reduction>());
  reductions_[place]->begin(job);
  if (!reductions_[place]->done()) under_way_.fetch_add(1);
  return place;
}

void ReductionEngine::progress() {
  if (idle()) return;
  const std::lock_guard lock(mutex_);
  for (const auto& reduction : reductions_) {
    if (reduction->done()) continue;
    reduction->progress();
    if (reduction->done()) under_way_.fetch_sub(1);
  }
}

bool ReductionEngine::done(std::size_t place) {
  const std::lock_guard lock(mutex_);
  return reductions_[place]->done();
}

void ReductionEngine::forget(std::size_t place) {
  const std::lock_guard lock(mutex_);
  reductions_[place]->forget();
}

}  // namespace megalith
