#pragma once

// How a caller with threads lends them to a chain that has none: run(context, tasks, task,
// argument) calls task(argument, i) for every i < tasks, in any order, on any threads, and returns
// when all are done. Without it the chain calls them in order itself; results are the same, bit for
// bit.

namespace noroshi {

struct Workers {
  int count = 1;  // threads that may run tasks at once
  void (*run)(void* context, int tasks, void (*task)(void* argument, int index),
              void* argument) = nullptr;
  void* context = nullptr;

  template <class Task>
  void for_each(int tasks, const Task& task) const {
    if (run == nullptr || count <= 1 || tasks <= 1) {
      for (int i = 0; i < tasks; ++i) task(i);
      return;
    }
    run(
        context, tasks,
        [](void* argument, int index) { (*static_cast<const Task*>(argument))(index); },
        const_cast<Task*>(&task));
  }
};

}  // namespace noroshi
