#pragma once

// One engine = one model server in its own process (llama-server, or any OpenAI-compatible URL that
// someone else runs): started, watched, restarted with back-off, stopped.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace noroshi::engine {

struct EngineConfig {
  std::string name = "llama";
  // Either a server that runs already ...
  std::string url;      // "http://127.0.0.1:8000"; empty: start one
  std::string api_key;  // sent upstream when not empty
  // ... or one that we start.
  std::string executable;     // empty: llama-server on PATH, then the private prefix
  std::string model_path;     // a GGUF file
  std::string model_name;     // as /v1/models shows it; empty: the file's stem
  int threads = 0;            // 0: as many as processors
  int context_tokens = 4096;  // of all requests at once together: each gets context / parallel
  int parallel = 4;           // requests at once
  // /v1/embeddings beside chat, pooled by the mean (llama-server --embeddings --pooling mean;
  // without a pooling it dies of the first chat). Costs the output head on every prompt token.
  bool embeddings = true;
  // Where contexts of its slots are saved and restored (--slot-save-path); empty: nowhere.
  std::string context_folder;
  std::vector<std::string> arguments;  // appended as they are
  std::string log_path;  // where its output is appended; empty: the last MiB is kept in memory
  // Scheduling of the process, so that the radio comes first.
  std::vector<int> processors;  // affinity; empty: all
  bool idle_class = true;       // SCHED_IDLE; else SCHED_OTHER
  // That it may allocate, beside the model's file, which it maps; 0: no limit. Above it its
  // allocations fail; most servers then end and are started again.
  std::uint64_t memory_bytes_max = 0;
  double start_timeout_s = 120;
  double health_interval_s = 1;
  double health_timeout_s = 10;  // no good answer for so long: hung, killed, restarted
  double backoff_first_s = 0.5;  // doubles up to backoff_max_s, back to the first after
  double backoff_max_s = 30;     // a minute of health
};

enum class EngineState : std::uint8_t { stopped, starting, ready, backing_off, failed };

struct EngineStatus {
  EngineState state = EngineState::stopped;
  std::string url;  // where it answers, once started
  std::string model_name;
  int pid = 0;
  int restarts = 0;
  double cpu_seconds = 0;  // of the process tree, all restarts
  std::string last_error;
};

// The server's process shares nothing with ours: its own process group, killed with us whatever
// happens, made without copying our page tables (vfork), so that the radio's threads see no page
// fault when an engine starts.
//
// Errors that starting again cannot mend (no executable, no model file, a truncated GGUF) come
// back from start(); later ones are in status().
class Engine {
 public:
  explicit Engine(EngineConfig config);
  ~Engine();  // stops it
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;

  Result<void> start();  // returns once it runs or can never; watch thread goes on
  // Errors: not ready in time, stopped, failed, or three starts in a row that died; with the
  // reason.
  Result<void> wait_ready(double timeout_s);
  // True once the condition holds of the status, asked at each change of it; false after timeout_s.
  bool wait_until(const std::function<bool(const EngineStatus&)>& condition, double timeout_s);
  void stop();                  // SIGTERM, then SIGKILL after 5 s; no child survives us
  EngineStatus status() const;  // any thread

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace noroshi::engine
