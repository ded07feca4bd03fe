// Writes a rank's ring (ring_format.h). A store per field and two looks at the clock per operation.
#pragma once

#include <filesystem>

#include "comm/flight/ring_format.h"
#include "comm/observer.h"

namespace megalith {

class RingWriter final : public CommunicationObserver {
 public:
  // Makes or replaces the file. Throws WorldFailed.
  RingWriter(const std::filesystem::path& path, int rank, int ranks);
  RingWriter(const RingWriter&) = delete;
  RingWriter& operator=(const RingWriter&) = delete;
  ~RingWriter() override;  // the file stays

  int opened(const Communicator& communicator) override;
  void entered(ObservedOperation& operation) override;
  void waiting(ObservedOperation& operation) override;
  void left(ObservedOperation& operation) override;

 private:
  [[nodiscard]] RingRecord& record(std::uint64_t ordinal) const { return records_[ordinal % kRingCapacity]; }

  RingHeader* header_ = nullptr;
  RingRecord* records_ = nullptr;
};

}  // namespace megalith
